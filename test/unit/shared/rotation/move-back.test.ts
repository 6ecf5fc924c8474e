import { beforeEach, describe, expect, test } from '@jest/globals';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { type MoveBackRequest, moveBack } from '../../../../shared/rotation/move-back.ts';
import { STEPS } from '../../../../shared/rotation/plan.ts';
import { type RetireOutcome, retire } from '../../../../shared/rotation/retire.ts';
import type { RotationDeps } from '../../../../shared/rotation/steps.ts';
import { ROTATION_FUNCTION } from '../../../contract/fakes/secret-store.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, likePostgres, type Rig, snapshotOf } from './rig.ts';

const base = { engine: 'postgres', host: 'db.example' };
const ASKS = { 'rekey:on-failure': 'move-back' };
const FAILED = [
  { cluster: 'shop', kind: 'Deployment', namespace: 'shop', name: 'web', why: 'pod web-1 crashes', cause: 'crash' },
] as const;

let database: FakeDatabase;
let rig: Rig;
let arn: string;
/** The versions that were current, in that order. */
let first: string;
let second: string;

type Strategy = 'single-user' | 'alternating-users' | 'user-pair' | 'dual-password';

/** An application that has rotated once. */
async function rotated(strategy: Strategy, tags: Readonly<Record<string, string>> = ASKS) {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'p0', rights: ['read'] });
  database.addUser('app_peer', { password: 'p1', rights: ['read'] });
  rig = createRig(strategy === 'dual-password' ? database.engine : likePostgres(database));
  const masterarn =
    strategy === 'alternating-users'
      ? rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
          'rekey:admin-for': 'app/db',
        })
      : undefined;
  const value = { ...base, username: 'app', password: 'p0', masterarn };
  arn = rig.secrets.create('app/db', JSON.stringify(value), { 'rekey:strategy': strategy, ...tags });
  if (strategy === 'user-pair')
    rig.secrets.label(arn, 'REKEYSTANDBY', JSON.stringify({ ...value, username: 'app_peer', password: 'p1' }));
  first = versionUnder('AWSCURRENT');
  second = await rotate();
  database.calls.length = 0;
}

async function rotate(): Promise<string> {
  const token = rig.secrets.beginRotation(arn);
  for (const step of STEPS) await rig.run(step, arn, token);
  return token;
}

const versionUnder = (label: string) =>
  [...rig.secrets.secret(arn).versions].find(([, { stages }]) => stages.has(label))?.[0] ?? '';
const ask = (request: Partial<MoveBackRequest> = {}, deps: Partial<RotationDeps> = {}) =>
  moveBack(
    { secretArn: arn, secretName: 'app/db', versionId: second, previousVersionId: first, failed: FAILED, ...request },
    { ...rig.deps, ...deps },
    deadlineIn(30_000, systemClock),
  );
const retireNow = (): Promise<RetireOutcome> =>
  retire(
    {
      secretArn: arn,
      versionId: versionUnder('AWSCURRENT'),
      previousVersionId: versionUnder('AWSPREVIOUS'),
      consumersProved: true,
      pinnedUses: false,
      convergedAtMs: 0,
    },
    { ...rig.deps, databases: [rig.deps], rotationFunctions: [ROTATION_FUNCTION] },
    deadlineIn(30_000, systemClock),
  );
async function logsIn(label: string): Promise<boolean> {
  const staged = await rig.secrets.store.readStage(arn, label);
  const { username, password } = JSON.parse(staged?.value.expose() ?? '{}');
  const user = database.users.get(username);
  return user?.mayLogIn === true && user.passwords.includes(password);
}
const told = () => rig.events.filter(({ type }) => type !== 'Rotation Succeeded' && type !== 'Rotation Failed');
const notMovedBack = (why: string) => ({
  type: 'Action Needed',
  detail: expect.objectContaining({ code: 'NOT_MOVED_BACK', message: expect.stringContaining(why) }),
});

describe.each<Strategy>(['alternating-users', 'user-pair', 'dual-password'])('with %s, moving back', (strategy) => {
  beforeEach(() => rotated(strategy));

  test('makes the previous version current, whose login it has just tried, and says whose new pods failed', async () => {
    expect(await ask()).toEqual({ kind: 'movedBack', user: 'app' });
    expect([versionUnder('AWSCURRENT'), versionUnder('AWSPREVIOUS')]).toEqual([first, second]);
    expect(database.calls).toEqual(['login']);
    expect(told()).toEqual([
      {
        type: 'Secret Moved Back',
        detail: {
          secretArn: arn,
          secretName: 'app/db',
          versionId: second,
          restoredVersionId: first,
          user: 'app',
          engine: 'postgres',
          failed: FAILED,
          action: expect.stringContaining('rotate'),
        },
      },
    ]);
  });

  test('is followed by a rotation to a third version, with AWSCURRENT letting in throughout', async () => {
    await ask();
    const token = rig.secrets.beginRotation(arn);
    for (const step of STEPS) {
      await rig.run(step, arn, token);
      expect(await logsIn('AWSCURRENT')).toBe(true);
    }
    expect(versionUnder('AWSCURRENT')).toBe(token);
    expect([first, second]).not.toContain(token);
  });

  test('leaves the version that failed to be retired, and the one that is restored alone', async () => {
    await ask();
    expect(await retireNow()).toMatchObject({ kind: 'retired' });
    expect([await logsIn('AWSCURRENT'), await logsIn('AWSPREVIOUS')]).toEqual([true, false]);

    const third = await rotate();
    expect(await logsIn('AWSCURRENT')).toBe(true);
    await ask({ versionId: third });
    expect(await retireNow()).toMatchObject({ kind: 'retired' });
    await rotate();
    expect(await logsIn('AWSCURRENT')).toBe(true);
  });

  test('is not undone by a step of the failed version that comes late', async () => {
    await ask();
    await expect(rig.run('finishSecret', arn, second)).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });
    expect(versionUnder('AWSCURRENT')).toBe(first);
  });

  test('does not go back and forth: a version that has failed is never moved back to', async () => {
    await ask();
    // As if it had been made later, in a process whose clock is coarse.
    for (const [version, createdAtMs] of [[first, 1] as const, [second, 2] as const])
      Object.assign(rig.secrets.secret(arn).versions.get(version) ?? {}, { createdAtMs });
    expect(await ask({ versionId: first, previousVersionId: second })).toMatchObject({ kind: 'refused' });
    expect(versionUnder('AWSCURRENT')).toBe(first);
    expect(told().slice(1)).toEqual([notMovedBack('has failed before')]);
  });

  test('takes AWSPENDING from the version that failed, which its rotation may have left there', async () => {
    rig.secrets.secret(arn).versions.get(second)?.stages.add('AWSPENDING');
    await ask();
    expect(versionUnder('AWSPENDING')).toBe('');
    expect(rig.secrets.beginRotation(arn)).not.toBe(second);
  });

  test('asked for again says so again, and changes nothing further', async () => {
    await ask();
    const labels = snapshotOf(rig.secrets, arn);
    expect(await ask()).toEqual({ kind: 'movedBack', user: 'app' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(labels);
  });
});

describe('nothing is moved, and people are told why,', () => {
  async function refused(why: string, request: Partial<MoveBackRequest> = {}) {
    const labels = snapshotOf(rig.secrets, arn);
    expect(await ask(request)).toMatchObject({ kind: 'refused', error: { code: 'NOT_MOVED_BACK' } });
    expect(snapshotOf(rig.secrets, arn)).toEqual(labels);
    expect(told()).toEqual([notMovedBack(why)]);
  }

  test('with single-user, whose previous password is gone: it is not even tried', async () => {
    await rotated('single-user');
    await refused('single-user');
    expect(database.calls).toEqual([]);
  });

  test('when the database refuses the previous login, as once it is retired', async () => {
    await rotated('alternating-users');
    await retireNow();
    await refused('refuses the previous login "app"');
  });

  test('when the previous version has lost its value', async () => {
    await rotated('alternating-users');
    Object.assign(rig.secrets.secret(arn).versions.get(first) ?? {}, { value: undefined });
    await refused('has no value');
  });
});

describe('nothing is moved, and nobody is told,', () => {
  beforeEach(() => rotated('alternating-users'));

  async function leaves(outcome: object, request: Partial<MoveBackRequest> = {}) {
    const labels = snapshotOf(rig.secrets, arn);
    expect(await ask(request)).toMatchObject(outcome);
    expect(snapshotOf(rig.secrets, arn)).toEqual(labels);
    expect(database.calls).toEqual([]);
    expect(told()).toEqual([]);
  }

  test('when another version is current by now', async () => {
    await rotate();
    database.calls.length = 0;
    await leaves({ kind: 'superseded' });
  });

  test('when the previous version is another than sync saw', () =>
    leaves({ kind: 'superseded' }, { previousVersionId: 'c'.repeat(36) }));

  test('while the next rotation runs: it may have given the previous user its next password', async () => {
    rig.secrets.beginRotation(arn);
    await leaves({ kind: 'superseded' });
  });

  test.each([
    ['the tag was taken away', { 'rekey:on-failure': 'halt' }],
    ['a person holds the secret', { 'rekey:hold': '2999-01-01' }],
  ])('when %s', async (_what, tags) => {
    for (const [tag, value] of Object.entries(tags)) rig.secrets.secret(arn).tags.set(tag, value);
    await leaves({ kind: 'leftAlone' });
  });

  test.each([
    ['rotation was switched off', { rotationEnabled: false }],
    ['the secret is about to be deleted', { deletedAtMs: 1 }],
  ])('when %s', async (_what, change) => {
    Object.assign(rig.secrets.secret(arn), change);
    expect(await ask()).toMatchObject({ kind: 'leftAlone' });
    expect(told()).toEqual([]);
  });
});

describe('a later try is left to the queue', () => {
  beforeEach(() => rotated('alternating-users'));

  test('when the database does not answer', async () => {
    database.failure = new RekeyError('DATABASE_UNREACHABLE', 'gone');
    await expect(ask()).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(told()).toEqual([]);
  });

  test('while Secrets Manager still shows the labels from before the rotation', async () => {
    const { stages, ...now } = await rig.secrets.store.describe(arn);
    const before = new Map([
      [first, ['AWSCURRENT']],
      [second, ['AWSPENDING']],
    ]);
    const store = { ...rig.secrets.store, describe: async () => ({ ...now, stages: before }) };
    expect(stages).not.toEqual(before);
    await expect(ask({}, { store })).rejects.toMatchObject({ code: 'SECRETS_MANAGER_UNAVAILABLE', retryable: true });
  });

  test('when the bus does not take the news, which the next try tells', async () => {
    const silent = { announce: async () => false };
    await expect(ask({}, { announcer: silent })).rejects.toMatchObject({ code: 'EVENT_NOT_SENT', retryable: true });
    expect(versionUnder('AWSCURRENT')).toBe(first);
    await ask();
    expect(told()).toMatchObject([{ type: 'Secret Moved Back' }]);
  });

  test('which finds what an earlier one did whose answer was lost', async () => {
    const { moveCurrent } = rig.secrets.store;
    const store = {
      ...rig.secrets.store,
      moveCurrent: async (...move: Parameters<typeof moveCurrent>) => {
        await moveCurrent(...move);
        throw new RekeyError('CURRENT_MOVED', 'an SDK that tried again');
      },
    };
    expect(await ask({}, { store })).toEqual({ kind: 'movedBack', user: 'app' });
  });
});

test('a credential that is retired already stays so: what was proved of a version before a move back is void', async () => {
  await rotated('alternating-users');
  const before = {
    secretArn: arn,
    versionId: first,
    previousVersionId: undefined,
    consumersProved: true,
    pinnedUses: false,
    convergedAtMs: 0,
  };
  await ask();
  const deps = { ...rig.deps, databases: [rig.deps], rotationFunctions: [ROTATION_FUNCTION] };
  expect(await retire(before, deps, deadlineIn(30_000, systemClock))).toEqual({ kind: 'superseded' });
  expect(await logsIn('AWSPREVIOUS')).toBe(true);
});

test('auto, where nobody may have a second password, finds out by the login that is refused', async () => {
  await rotated('dual-password', ASKS);
  rig.secrets.secret(arn).tags.delete('rekey:strategy');
  const single: DatabaseEngine = {
    ...database.engine,
    dualPassword: { ...database.engine.dualPassword, mayKeepOld: async () => false },
  };
  Object.assign(database.users.get('app') ?? {}, { passwords: [database.users.get('app')?.passwords[0]] });
  expect(await ask({}, { engine: single })).toMatchObject({ kind: 'refused', error: { code: 'NOT_MOVED_BACK' } });
  expect(versionUnder('AWSCURRENT')).toBe(second);
});
