import { beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { createPeer } from '../../../../shared/rotation/create-peer.ts';
import { STEPS, type Step } from '../../../../shared/rotation/plan.ts';
import { type RetireOutcome, type RetireRequest, retire } from '../../../../shared/rotation/retire.ts';
import { ROTATION_FUNCTION } from '../../../contract/fakes/secret-store.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, type Rig, snapshotOf } from './rig.ts';

const base = { engine: 'postgres', host: 'db.example', dbname: 'shop' };
const soon = () => deadlineIn(30_000, systemClock);

let database: FakeDatabase;
let rig: Rig;
let arn: string;

/** `app_a` is current; `app_b` waits under REKEYSTANDBY, as someone made it. */
async function begin(standby: Record<string, unknown> = {}, tags: Record<string, string> = {}) {
  database = createFakeDatabase('postgres');
  database.addUser('app_a', { password: 'a1', rights: ['read'] });
  database.addUser('app_b', { password: 'b1', rights: ['read'] });
  rig = createRig(database.engine);
  const value = { ...base, username: 'app_a', password: 'a1' };
  arn = rig.secrets.create('app/db', JSON.stringify(value), { 'rekey:strategy': 'user-pair', ...tags });
  rig.secrets.label(arn, 'REKEYSTANDBY', JSON.stringify({ ...base, username: 'app_b', password: 'b1', ...standby }));
}

const run = (step: Step, token: string) => rig.run(step, arn, token);
async function rotate(): Promise<string> {
  const token = rig.secrets.beginRotation(arn);
  for (const step of STEPS) await run(step, token);
  return token;
}
const stage = async (label: string) => {
  const staged = await rig.secrets.store.readStage(arn, label);
  return staged && JSON.parse(staged.value.expose());
};
const logsIn = ({ username, password }: { username: string; password: string }) =>
  database.users.get(username)?.passwords.includes(password);
const requestFor = (versionId: string): RetireRequest => ({
  secretArn: arn,
  versionId,
  previousVersionId: versionUnder('AWSPREVIOUS'),
  consumersProved: true,
  pinnedUses: false,
  convergedAtMs: 0,
});
const versionUnder = (label: string) =>
  [...rig.secrets.secret(arn).versions].find(([, { stages }]) => stages.has(label))?.[0];
const retireNow = (versionId: string): Promise<RetireOutcome> =>
  retire(requestFor(versionId), { ...rig.deps, databases: [rig.deps], rotationFunctions: [ROTATION_FUNCTION] }, soon());

describe('a rotation of a pair of users', () => {
  beforeEach(() => begin());

  test('brings the other user into use with a new password, and needs no administrator', async () => {
    await rotate();
    const current = await stage('AWSCURRENT');
    expect(current.username).toBe('app_b');
    expect(current.password).not.toBe('b1');
    expect(logsIn(current)).toBe(true);
    expect(logsIn({ username: 'app_a', password: 'a1' })).toBe(true);
  });

  test('takes turns from then on', async () => {
    const users: string[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      await rotate();
      const current = await stage('AWSCURRENT');
      expect(logsIn(current)).toBe(true);
      expect(logsIn(await stage('AWSPREVIOUS'))).toBe(true);
      users.push(current.username);
    }
    expect(users).toEqual(['app_b', 'app_a', 'app_b', 'app_a', 'app_b']);
  });

  test('leaves a user that can do less as it is, and a lone testSecret says so before', async () => {
    database.users.get('app_b')?.rights.clear();
    const token = rig.secrets.beginRotation(arn);
    await expect(run('testSecret', token)).rejects.toMatchObject({ code: 'RIGHTS_DIFFER' });
    await run('createSecret', token);

    await expect(run('setSecret', token)).rejects.toMatchObject({ code: 'RIGHTS_DIFFER' });

    expect(logsIn({ username: 'app_b', password: 'b1' })).toBe(true);
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('does not promote a user that can do less since it was changed', async () => {
    const token = rig.secrets.beginRotation(arn);
    for (const step of ['createSecret', 'setSecret'] as const) await run(step, token);
    database.users.get('app_b')?.rights.clear();

    for (const step of ['setSecret', 'testSecret'] as const)
      await expect(run(step, token)).rejects.toMatchObject({ code: 'RIGHTS_DIFFER' });

    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('changes nothing while the current login is refused', async () => {
    const token = rig.secrets.beginRotation(arn);
    await run('createSecret', token);
    database.addUser('app_a', { password: 'another', rights: ['read'] });

    await expect(run('setSecret', token)).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

    expect(logsIn({ username: 'app_b', password: 'b1' })).toBe(true);
  });

  test('goes on after a label that nothing took away', async () => {
    const store = {
      ...rig.deps.store,
      withdrawLabel: async () => Promise.reject(new RekeyError('ACCESS_DENIED', 'no')),
    };
    for (let turn = 0; turn < 4; turn += 1) {
      const token = rig.secrets.beginRotation(arn);
      for (const step of STEPS) await rig.run(step, arn, token, { store });
      expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
    }
  });

  test('a lone testSecret says that the pair is ready and changes nothing', async () => {
    const before = snapshotOf(rig.secrets, arn);
    const token = rig.secrets.beginRotation(arn);
    expect(await run('testSecret', token)).toMatchObject({ kind: 'preflight', report: { works: true } });
    await rig.secrets.store.withdrawLabel(arn, 'AWSPENDING', token);
    rig.secrets.secret(arn).versions.delete(token);
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });
});

describe('the other login of a pair', () => {
  test.each([
    ['that is missing', undefined],
    ['of another host', { host: 'evil.example' }],
    ['of another port', { port: 5433 }],
    ['of another database', { dbname: 'other' }],
    ['of the current user', { username: 'app_a' }],
  ])('%s is refused before anything is stored', async (_, standby) => {
    await begin(standby);
    if (standby === undefined)
      for (const version of rig.secrets.secret(arn).versions.values()) version.stages.delete('REKEYSTANDBY');
    const token = rig.secrets.beginRotation(arn);
    const before = snapshotOf(rig.secrets, arn);
    await expect(run('createSecret', token)).rejects.toMatchObject({ code: 'STANDBY_MISSING' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
    expect(database.calls).toEqual([]);
  });
});

describe('retiring the previous user of a pair', () => {
  let versionId: string;
  beforeEach(async () => {
    await begin();
    versionId = await rotate();
  });

  test('its published password is refused, and the next rotation still works', async () => {
    expect(await retireNow(versionId)).toEqual({ kind: 'retired', user: 'app_a', engine: 'postgres' });
    expect(logsIn({ username: 'app_a', password: 'a1' })).toBe(false);
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
    // No password is in the database alone.
    expect(logsIn(await stage('REKEYSTANDBY'))).toBe(true);

    await rotate();
    expect((await stage('AWSCURRENT')).username).toBe('app_a');
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('again changes nothing', async () => {
    await retireNow(versionId);
    const before = snapshotOf(rig.secrets, arn);
    expect(await retireNow(versionId)).toMatchObject({ kind: 'retired' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test('after a crash between the store and the database goes on with the stored password', async () => {
    database.calls.length = 0;
    const { setPassword } = database.engine;
    const dying = {
      ...database.engine,
      setPassword: async () => Promise.reject(new RekeyError('DATABASE_UNREACHABLE', 'gone')),
    };
    const deps = { ...rig.deps, databases: [{ ...rig.deps, engine: dying }], rotationFunctions: [ROTATION_FUNCTION] };
    await expect(retire(requestFor(versionId), deps, soon())).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(setPassword).toBeDefined();
    const stored = await stage('REKEYSTANDBY');

    expect(await retireNow(versionId)).toMatchObject({ kind: 'retired' });
    expect(await stage('REKEYSTANDBY')).toEqual(stored);
    expect(logsIn(stored)).toBe(true);
  });

  test('does not happen where there are readers, whose sessions of it nobody sees', async () => {
    await begin({}, { 'rekey:readers': 'reader.example' });
    const versionId = await rotate();

    expect(await retireNow(versionId)).toEqual({ kind: 'leftAlone', why: expect.stringContaining('rekey:readers') });

    expect(logsIn({ username: 'app_a', password: 'a1' })).toBe(true);
  });

  test('waits while a session of it is open', async () => {
    const session = { applicationName: 'report', clientAddress: '10.0.0.7', since: '2027-01-01T00:00:00Z' };
    database.users.get('app_a')?.sessions.push(session);
    expect(await retireNow(versionId)).toEqual({ kind: 'sessionsOpen', user: 'app_a', sessions: [session] });
    expect(logsIn({ username: 'app_a', password: 'a1' })).toBe(true);
  });
});

describe('making the second user of a pair', () => {
  beforeEach(() => {
    database = createFakeDatabase('postgres');
    database.addUser('admin', { password: 'a', administers: true });
    database.addUser('app', { password: 'old', rights: ['read'] });
    rig = createRig(database.engine);
    const masterarn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
      'rekey:admin-for': 'app/db',
    });
    const value = { ...base, username: 'app', password: 'old', masterarn };
    arn = rig.secrets.create('app/db', JSON.stringify(value), { 'rekey:strategy': 'user-pair' });
  });

  test('makes it equal, stores its login first, and the pair rotates', async () => {
    expect(await createPeer(arn, rig.deps, soon())).toEqual({ kind: 'created', user: 'app_clone' });
    expect(logsIn(await stage('REKEYSTANDBY'))).toBe(true);
    await rotate();
    expect((await stage('AWSCURRENT')).username).toBe('app_clone');
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('may be repeated after a crash between the store and the database', async () => {
    const { userPair, ...engine } = database.engine;
    const gone = () => Promise.reject(new RekeyError('DATABASE_UNREACHABLE', 'gone'));
    const deps = {
      ...rig.deps,
      engine: { ...engine, ...(userPair && { userPair: { ...userPair, createPeer: gone } }) },
    };
    await expect(createPeer(arn, deps, soon())).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    const stored = await stage('REKEYSTANDBY');
    expect(await createPeer(arn, rig.deps, soon())).toEqual({ kind: 'alreadyCreated', user: 'app_clone' });
    expect(await stage('REKEYSTANDBY')).toEqual(stored);
    expect(logsIn(stored)).toBe(true);
  });

  test('again after a rotation leaves the previous login alone, on which pods may still run', async () => {
    await createPeer(arn, rig.deps, soon());
    await rotate();
    const previous = await stage('AWSPREVIOUS');

    expect(await createPeer(arn, rig.deps, soon())).toEqual({ kind: 'alreadyCreated', user: 'app' });

    expect(logsIn(previous)).toBe(true);
    await rotate();
    expect((await stage('AWSCURRENT')).username).toBe('app');
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('gives a previous user that the server refuses another login', async () => {
    await createPeer(arn, rig.deps, soon());
    await rotate();
    database.addUser('app', { password: 'nobody knows' });

    expect(await createPeer(arn, rig.deps, soon())).toEqual({ kind: 'created', user: 'app' });

    await rotate();
    expect(logsIn(await stage('AWSCURRENT'))).toBe(true);
  });

  test('sets no password that is not stored, when a twin stored another one that cannot be read yet', async () => {
    const { store } = rig.deps;
    const late = {
      ...store,
      writeVersion: async () => 'taken' as const,
      read: async (id: string, version: string) =>
        version === versionUnder('AWSCURRENT') ? store.read(id, version) : undefined,
    };

    await expect(createPeer(arn, { ...rig.deps, store: late }, soon())).rejects.toMatchObject({ retryable: true });

    expect(database.users.has('app_clone')).toBe(false);
  });

  test('is refused while a rotation runs', async () => {
    rig.secrets.beginRotation(arn);
    await expect(createPeer(arn, rig.deps, soon())).rejects.toMatchObject({ code: 'ROTATION_RUNNING' });
    expect(database.calls).toEqual([]);
  });

  test('is refused to whoever does not know the password of the current user', async () => {
    database.addUser('app', { password: 'another', rights: ['read'] });
    const before = snapshotOf(rig.secrets, arn);
    const waits: number[] = [];
    const clock = { ...rig.deps.clock, sleep: async (milliseconds: number) => void waits.push(milliseconds) };
    await expect(createPeer(arn, { ...rig.deps, clock }, soon())).rejects.toMatchObject({
      code: 'LOGIN_REFUSED',
      message: expect.stringContaining('the current login "app"'),
    });
    expect(database.users.has('app_clone')).toBe(false);
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
    expect(waits).toEqual([]);
  });
});
