import { beforeEach, describe, expect, test } from '@jest/globals';
import type { DatabaseEngine, ServerFacts } from '../../../../shared/engines/port.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { type PreflightReport, preflight } from '../../../../shared/rotation/preflight.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, type Rig, snapshotOf } from './rig.ts';

const SYMBOLS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';
const base = { engine: 'postgres', host: 'db.example', dbname: 'shop' };

let database: FakeDatabase;
let rig: Rig;
let arn: string;

function begin(app: Record<string, unknown> = {}, tags: Record<string, string> = {}) {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old', rights: ['read'] });
  rig = createRig(database.engine);
  const admin = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/db',
  });
  const masterarn = 'masterarn' in app ? { masterarn: admin } : {};
  arn = rig.secrets.create(
    'app/db',
    JSON.stringify({ ...base, username: 'app', password: 'old', ...app, ...masterarn }),
    tags,
  );
}

const look = (engine: DatabaseEngine = database.engine): Promise<PreflightReport> =>
  preflight(arn, { ...rig.deps, engine }, deadlineIn(30_000, systemClock));
const verdicts = ({ checks }: PreflightReport) =>
  checks.map(({ what, verdict, code }) => [what, verdict, code].filter(Boolean).join(' '));
const inspecting = (facts: Partial<ServerFacts>): DatabaseEngine => ({
  ...database.engine,
  inspect: async (...asked) => ({ ...(await database.engine.inspect(...asked)), ...facts }),
});

describe('a preflight', () => {
  beforeEach(() => begin());

  test('says that a rotation would work, and how', async () => {
    const report = await look();
    expect(report).toMatchObject({
      works: true,
      engine: 'postgres',
      strategy: 'dual-password',
      server: { version: 'Fake 1.0' },
    });
    expect(report.betterStrategy).toBeUndefined();
    expect(verdicts(report)).toEqual([
      'tags passed',
      'secret passed',
      'server passed',
      'certificate passed',
      'strategy passed',
      'rights passed',
    ]);
  });

  test('changes nothing, in the store and in the database', async () => {
    begin({ masterarn: '' });
    const before = [snapshotOf(rig.secrets, arn), JSON.stringify([...database.users])];
    await look();
    expect([snapshotOf(rig.secrets, arn), JSON.stringify([...database.users])]).toEqual(before);
  });

  test('lists what a rotation would reconcile', async () => {
    begin({ masterarn: '' });
    expect((await look()).wouldReconcile).toEqual(['app_clone does not exist']);
  });

  test('names the statements that the administrator lacks', async () => {
    begin({ masterarn: '' });
    database.missing.push('GRANT app TO admin WITH ADMIN OPTION;');
    const report = await look();
    expect(report.works).toBe(false);
    expect(report.checks.at(-1)).toMatchObject({
      what: 'rights',
      code: 'PRIVILEGE_MISSING',
      action: expect.stringContaining('GRANT app TO admin WITH ADMIN OPTION;'),
    });
  });

  test('knows a better strategy for a single user that may have two passwords', async () => {
    begin({}, { 'rekey:strategy': 'single-user' });
    expect(await look()).toMatchObject({ works: true, betterStrategy: { strategy: 'dual-password' } });
    database.powerless.add('app');
    const engine = { ...database.engine, rehearse: async () => {} };
    expect(await look(engine)).toMatchObject({ works: true, betterStrategy: { strategy: 'user-pair' } });
  });

  describe.each(['single-user', 'dual-password'])('with the strategy %s', (strategy) => {
    const rights = ({ checks }: PreflightReport) => checks.find(({ what }) => what === 'rights');
    const tags = { 'rekey:strategy': strategy };

    test('a user that may not change its own password fails it', async () => {
      begin({}, tags);
      database.powerless.add('app');
      expect(rights(await look())).toMatchObject({ verdict: 'failed', code: 'PRIVILEGE_MISSING' });
    });

    test('such a user passes with an administrator that may, and fails with one that may not or is not let in', async () => {
      begin({ masterarn: '' }, tags);
      database.powerless.add('app');
      expect(rights(await look())).toMatchObject({ verdict: 'passed' });
      database.powerless.add('admin');
      expect(rights(await look())).toMatchObject({ verdict: 'failed', code: 'PRIVILEGE_MISSING' });
      database.addUser('admin', { password: 'another', administers: true });
      expect(rights(await look())).toMatchObject({ verdict: 'failed', code: 'LOGIN_REFUSED' });
    });
  });

  describe('where the secret names readers', () => {
    const readers = ({ checks }: PreflightReport) => checks.filter(({ what }) => what === 'readers');
    const reading = (login: DatabaseEngine['login']): DatabaseEngine => ({
      ...database.engine,
      login: (credentials, ...more) =>
        credentials.host.startsWith('reader')
          ? login(credentials, ...more)
          : database.engine.login(credentials, ...more),
    });
    beforeEach(() => begin({}, { 'rekey:readers': 'reader-1.example reader-2.example:6000' }));

    test('each that lets the current login in passes', async () => {
      const report = await look();
      expect(readers(report).map(({ verdict }) => verdict)).toEqual(['passed', 'passed']);
      expect(readers(report)[1]?.message).toContain('reader-2.example');
    });

    test('one that refuses it fails it, and the others are looked at all the same', async () => {
      const engine = reading(async ({ host }) =>
        host === 'reader-1.example' ? { kind: 'refused', reason: 'password' } : { kind: 'accepted' },
      );
      const report = await look(engine);
      expect(report.works).toBe(false);
      expect(readers(report)).toMatchObject([
        { verdict: 'failed', code: 'LOGIN_REFUSED', message: expect.stringContaining('reader-1.example') },
        { verdict: 'passed' },
      ]);
    });

    test('one that cannot be reached fails it', async () => {
      const unreachable = new RekeyError('DATABASE_UNREACHABLE', 'reader-1.example does not answer');
      const report = await look(reading(() => Promise.reject(unreachable)));
      expect(readers(report)[0]).toMatchObject({ verdict: 'failed', code: 'DATABASE_UNREACHABLE' });
    });
  });

  test('says who is connected now', async () => {
    const session = { applicationName: 'shop', clientAddress: '10.0.0.7', since: '2027-01-01T00:00:00Z' };
    database.users.get('app')?.sessions.push(session);
    expect((await look()).sessions).toEqual([{ ...session, user: 'app' }]);
  });

  test.each([
    [31, 'passed'],
    [30, 'passed'],
    [29, 'warning'],
  ])('a certificate that is valid for %i more days is %s', async (days, verdict) => {
    const nowMs = Date.UTC(2027, 0, 1);
    const engine = inspecting({ certificate: { issuer: 'CA', validUntilMs: nowMs + days * 86_400_000 } });
    const deps = { ...rig.deps, engine, clock: { ...systemClock, now: () => nowMs } };
    const report = await preflight(arn, deps, deadlineIn(30_000, systemClock));
    expect(verdicts(report)).toContain(`certificate ${verdict}`);
    expect(report.server?.certificate?.daysLeft).toBe(days);
  });

  test('a connection without TLS is a warning', async () => {
    expect(verdicts(await look(inspecting({ certificate: undefined })))).toContain('certificate warning');
  });

  test.each([
    [32, []],
    [33, ['password failed PASSWORD_REJECTED']],
  ])('a server that wants passwords of %i characters, where the secret has 32', async (minimum, expected) => {
    const report = await look(inspecting({ passwordNeeds: { length: minimum, types: {} } }));
    expect(verdicts(report).filter((verdict) => verdict.startsWith('password'))).toEqual(expected);
    expect(report.works).toBe(expected.length === 0);
  });

  const password = ({ checks }: PreflightReport) => checks.find(({ what }) => what === 'password');

  test('a type of characters that the server wants and the tags exclude fails it', async () => {
    begin({}, { 'rekey:exclude-characters': SYMBOLS });
    const report = await look(inspecting({ passwordNeeds: { length: 8, types: { 'other characters': 1 } } }));
    expect(password(report)).toMatchObject({
      verdict: 'failed',
      code: 'PASSWORD_REJECTED',
      message: expect.stringContaining('without 8 characters, 1 other characters'),
      action: expect.stringContaining('rekey:exclude-characters'),
    });
  });

  test('a type that the server wants and that is in each password passes', async () => {
    const types = { 'lower case letters': 1, 'upper case letters': 1, digits: 1, 'other characters': 1 };
    expect(password(await look(inspecting({ passwordNeeds: { length: 8, types } })))).toBeUndefined();
  });

  test('more of a type than many passwords have is a warning with the length at which they do', async () => {
    const passwordNeeds = { length: 8, types: { digits: 3 } };
    const report = await look(inspecting({ passwordNeeds }));
    const { verdict, message = '', action = '' } = password(report) ?? {};
    expect(verdict).toBe('warning');
    expect(message).toMatch(/3 digits: .* 26 % fall short/);
    const enough = /rekey:password-length of the secret to (\d+) or more/.exec(action)?.[1] ?? '';
    begin({}, { 'rekey:password-length': enough });
    expect(password(await look(inspecting({ passwordNeeds })))).toBeUndefined();
    begin({}, { 'rekey:password-length': String(Number(enough) - 1) });
    expect(password(await look(inspecting({ passwordNeeds })))?.verdict).toBe('warning');
  });

  test.each([
    ['single-user', {}],
    ['single-user', { masterarn: '' }],
    ['dual-password', {}],
    ['user-pair', {}],
  ])('a server that takes no writes fails %s with %j', async (strategy, app) => {
    begin(app, { 'rekey:strategy': strategy });
    expect(verdicts(await look(inspecting({ readOnly: true })))).toContain('server failed DATABASE_READ_ONLY');
  });

  test.each(['alternating-users', 'dual-password'])(
    'a reader is no obstacle to %s, whose administrator works at the writer',
    async (strategy) => {
      begin({ masterarn: '' }, { 'rekey:strategy': strategy });
      expect(await look(inspecting({ readOnly: true }))).toMatchObject({ strategy, works: true });
    },
  );

  test.each(['DATABASE_UNREACHABLE', 'DATABASE_TLS', 'LOGIN_REFUSED'] as const)(
    '%s ends it, and what was not looked at is unknown',
    async (code) => {
      database.failure = new RekeyError(code, 'so');
      const report = await look();
      expect(report.works).toBe(false);
      expect(verdicts(report).slice(2)).toEqual([
        `server failed ${code}`,
        'certificate unknown',
        'strategy unknown',
        'rights unknown',
      ]);
    },
  );

  test('tags that do not parse are named, and nothing is connected to', async () => {
    begin({}, { 'rekey:retier': 'converged' });
    const report = await look();
    expect(report.checks).toContainEqual(
      expect.objectContaining({ code: 'TAG_INVALID', message: expect.stringContaining('rekey:retier') }),
    );
    expect(database.calls).toEqual([]);
  });

  test('a value that cannot be rotated is named by its key', async () => {
    begin({ port: 'http' });
    expect((await look()).checks).toContainEqual(
      expect.objectContaining({ code: 'SECRET_VALUE_INVALID', message: expect.stringContaining('"port"') }),
    );
    expect(database.calls).toEqual([]);
  });

  test('a strategy that this kind of database does not know fails it', async () => {
    begin({}, { 'rekey:strategy': 'user-pair' });
    const { userPair: _, ...engine } = database.engine;
    expect(verdicts(await look(engine))).toContain('strategy failed STRATEGY_UNAVAILABLE');
  });

  test('a rotation that is stuck, and one that is not switched on, are warnings', async () => {
    rig.secrets.beginRotation(arn);
    rig.secrets.secret(arn).rotationEnabled = undefined;
    const report = await look();
    expect(report.works).toBe(true);
    expect(verdicts(report).slice(0, 2)).toEqual(['secret warning', 'pending warning']);
  });

  test('46: a secret that is to be deleted fails it, once, and its value is not asked for', async () => {
    rig.secrets.secret(arn).deletedAtMs = Date.now();
    const report = await look();
    expect(report.works).toBe(false);
    expect(verdicts(report)).toEqual([
      'secret failed SECRET_DELETED',
      'tags passed',
      'secret unknown',
      'server unknown',
      'strategy unknown',
    ]);
  });

  test.each([
    ['21: that is binary', 'SECRET_VALUE_INVALID'],
    ['44: that the role may not read', 'ACCESS_DENIED'],
    ['45: whose key is disabled', 'KEY_UNUSABLE'],
  ] as const)('%s: a value fails it with %s, and is not thrown', async (_what, code) => {
    const store = { ...rig.deps.store, read: () => Promise.reject(new RekeyError(code, 'so')) };
    const report = await preflight(arn, { ...rig.deps, store }, deadlineIn(30_000, systemClock));
    expect(report.works).toBe(false);
    expect(verdicts(report)).toContain(`secret failed ${code}`);
    expect(database.calls).toEqual([]);
  });

  test('a current version without a value fails it', async () => {
    for (const version of rig.secrets.secret(arn).versions.values()) version.value = undefined;
    expect(verdicts(await look())).toContain('secret failed CURRENT_MISSING');
  });

  test('a hold is a warning with its date until that date, because no rotation begins', async () => {
    begin({}, { 'rekey:hold': '2127-01-31' });
    const report = await look();
    expect(report.works).toBe(true);
    expect(report.checks).toContainEqual(
      expect.objectContaining({
        what: 'tags',
        verdict: 'warning',
        code: 'ROTATION_HELD',
        message: expect.stringContaining('2127-01-31'),
      }),
    );
    begin({}, { 'rekey:hold': '2020-01-31' });
    expect((await look()).checks).not.toContainEqual(expect.objectContaining({ code: 'ROTATION_HELD' }));
  });

  test('57: a secret that another service rotates fails it', async () => {
    rig.secrets.secret(arn).owningService = 'rds';
    expect(verdicts(await look())).toContain('secret failed SECRET_MANAGED');
  });

  test('no password is in the report', async () => {
    begin({ masterarn: '', password: 'hunter2-old' });
    database.addUser('app', { password: 'hunter2-old' });
    expect(JSON.stringify(await look())).not.toContain('hunter2');
  });
});
