import { beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { STEPS } from '../../../../shared/rotation/plan.ts';
import { preflight } from '../../../../shared/rotation/preflight.ts';
import { retire } from '../../../../shared/rotation/retire.ts';
import { ROTATION_FUNCTION } from '../../../contract/fakes/secret-store.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, type Rig } from './rig.ts';

const base = { engine: 'postgres', host: 'db.example', dbname: 'shop' };

let database: FakeDatabase;
let rig: Rig;
let arn: string;
let adminArn: string;

function begin({ strategy = 'auto', admin = false } = {}) {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'p0' });
  rig = createRig(database.engine);
  adminArn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/',
  });
  const value = { ...base, username: 'app', password: 'p0', ...(admin && { masterarn: adminArn }) };
  arn = rig.secrets.create('app/db', JSON.stringify(value), { 'rekey:strategy': strategy });
}

async function rotate(): Promise<string> {
  const token = rig.secrets.beginRotation(arn);
  for (const step of STEPS) await rig.run(step, arn, token);
  return token;
}
const passwordOf = async (stage: string) =>
  JSON.parse((await rig.secrets.store.readStage(arn, stage))?.value.expose() ?? 'null')?.password;
const valid = () => database.users.get('app')?.passwords;
const strategyTold = () =>
  rig.events.map(({ type, detail }) => [type, 'strategy' in detail && detail.strategy, 'gap' in detail]);

describe('a rotation with two passwords', () => {
  beforeEach(() => begin({ strategy: 'dual-password' }));

  test('the old password goes on working beside the new one', async () => {
    await rotate();
    expect(valid()).toEqual([await passwordOf('AWSCURRENT'), 'p0']);
    expect(strategyTold()).toEqual([['Rotation Succeeded', 'dual-password', false]]);
  });

  test('a step that comes again does not push the old password out', async () => {
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);
    expect(await rig.run('setSecret', arn, token)).toEqual({ kind: 'set' });
    expect(await rig.run('setSecret', arn, token)).toEqual({ kind: 'alreadySet' });
    expect(valid()).toContain('p0');
  });

  test('retiring leaves the current password alone', async () => {
    const versionId = await rotate();
    const previousVersionId = (await rig.secrets.store.readStage(arn, 'AWSPREVIOUS'))?.versionId;
    const outcome = await retire(
      { secretArn: arn, versionId, previousVersionId, consumersProved: true, pinnedUses: false, convergedAtMs: 0 },
      { ...rig.deps, databases: [rig.deps], rotationFunctions: [ROTATION_FUNCTION] },
      deadlineIn(30_000, systemClock),
    );
    expect(outcome).toEqual({ kind: 'retired', user: 'app', engine: 'postgres' });
    expect(valid()).toEqual([await passwordOf('AWSCURRENT')]);
  });

  test('without the right to it fails before anything changes', async () => {
    database.powerless.add('app');
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);
    await expect(rig.run('setSecret', arn, token)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect(valid()).toEqual(['p0']);
  });

  test('41: is refused where the administrator is the user itself, whose own secret would end with the old password', async () => {
    begin({ strategy: 'dual-password', admin: true });
    rig.secrets.put(adminArn, JSON.stringify({ ...base, username: 'app', password: 'p0' }));
    const refused = { code: 'ADMIN_SECRET_INVALID', message: expect.stringContaining('"app"') };

    await expect(rotate()).rejects.toMatchObject(refused);
    expect((await preflight(arn, rig.deps, deadlineIn(30_000, systemClock))).checks).toContainEqual(
      expect.objectContaining({ verdict: 'failed', ...refused }),
    );

    expect(valid()).toEqual(['p0']);
  });

  test('an administrator adds the password for a user that may not', async () => {
    begin({ strategy: 'dual-password', admin: true });
    database.powerless.add('app');
    await rotate();
    expect(valid()).toEqual([await passwordOf('AWSCURRENT'), 'p0']);
  });

  test('an administrator adds it only for whoever knows the password of the user', async () => {
    begin({ strategy: 'dual-password', admin: true });
    database.addUser('app', { password: 'another' });
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);
    await expect(rig.run('setSecret', arn, token)).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
    expect(valid()).toEqual(['another']);
  });

  test('that its administrator is refused is told as such, and is no reason to try another password of the user', async () => {
    begin({ strategy: 'dual-password', admin: true });
    database.addUser('admin', { password: 'another', administers: true });
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);
    await expect(rig.run('setSecret', arn, token)).rejects.toMatchObject({
      code: 'LOGIN_REFUSED',
      message: expect.not.stringContaining('every password of the secret'),
    });
    expect(valid()).toEqual(['p0']);
  });
});

describe('the strategy auto', () => {
  test('keeps the old password where the user may', async () => {
    begin();
    await rotate();
    expect(valid()).toContain('p0');
    expect(strategyTold()).toEqual([['Rotation Succeeded', 'dual-password', false]]);
  });

  test('replaces it where the user may not, and says how long the gap was', async () => {
    begin();
    const { dualPassword } = database.engine;
    const engine = { ...database.engine, dualPassword: { ...dualPassword, mayKeepOld: async () => false } };
    const token = rig.secrets.beginRotation(arn);
    for (const step of STEPS) await rig.run(step, arn, token, { engine });
    expect(valid()).toEqual([await passwordOf('AWSCURRENT')]);
    expect(strategyTold()).toEqual([['Rotation Succeeded', 'single-user', true]]);
  });

  test('tries a password once in a step, where an earlier one has changed it', async () => {
    begin();
    database.powerless.add('app');
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);
    database.addUser('app', { password: await passwordOf('AWSPENDING') });
    database.calls.length = 0;

    expect(await rig.run('setSecret', arn, token)).toEqual({ kind: 'alreadySet' });

    expect(database.calls).toEqual(['mayKeepOld', 'login']);
  });

  test.each(['user-pair', 'dual-password', 'alternating-users'])(
    '%s is refused before anything is stored where the kind of database does not know it',
    async (strategy) => {
      begin({ strategy });
      const { login, setPassword, inspect } = database.engine;
      const token = rig.secrets.beginRotation(arn);
      const engine = { name: 'plain', login, setPassword, inspect };
      await expect(rig.run('createSecret', arn, token, { engine })).rejects.toMatchObject({
        code: 'STRATEGY_UNAVAILABLE',
      });
      expect(await rig.secrets.store.read(arn, token)).toBeUndefined();
    },
  );
});

describe('the gap of a single user', () => {
  const gapTold = () => rig.events.map(({ detail }) => ('gap' in detail ? detail.gap : undefined));

  test('is exact where one process changed the password and moved the label', async () => {
    begin({ strategy: 'single-user' });
    let nowMs = 1_000;
    const clock = { ...rig.deps.clock, now: () => nowMs };
    const token = rig.secrets.beginRotation(arn);
    for (const step of STEPS) {
      await rig.run(step, arn, token, { clock });
      nowMs += 700;
    }
    expect(gapTold()).toEqual([{ milliseconds: 1_400, measured: 'exactly' }]);
  });

  test('is at most the age of the new value where another process did', async () => {
    begin({ strategy: 'single-user' });
    const token = rig.secrets.beginRotation(arn);
    for (const step of STEPS) await rig.run(step, arn, token, { changedAt: new Map() });
    expect(gapTold()).toEqual([{ milliseconds: expect.any(Number), measured: 'at-most' }]);
  });
});
