import { beforeEach, describe, expect, test } from '@jest/globals';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { type Clock, systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { STEPS } from '../../../../shared/rotation/plan.ts';
import { type RetireDeps, type RetireRequest, retire } from '../../../../shared/rotation/retire.ts';
import { ROTATION_FUNCTION } from '../../../contract/fakes/secret-store.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, likePostgres, type Rig } from './rig.ts';

const base = { engine: 'postgres', host: 'db.example' };
const CONVERGED_AT_MS = Date.UTC(2027, 0, 1);
const MINUTE_MS = 60_000;

let database: FakeDatabase;
let rig: Rig;
let arn: string;
let versionId: string;

/** `app` is current, rotated to `app_clone`; so `app` is the previous user. */
async function rotated(app: Record<string, unknown>, tags: Record<string, string> = {}) {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old', rights: ['read'] });
  rig = createRig(likePostgres(database));
  const masterarn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/db',
  });
  arn = rig.secrets.create(
    'app/db',
    JSON.stringify({ ...base, username: 'app', password: 'old', masterarn, ...app }),
    tags,
  );
  versionId = rig.secrets.beginRotation(arn);
  for (const step of STEPS) await rig.run(step, arn, versionId);
  database.calls.length = 0;
}

function ask(request: Partial<RetireRequest> = {}, deps: Partial<RetireDeps> = {}) {
  const previousVersionId = [...rig.secrets.secret(arn).versions].find(([, { stages }]) =>
    stages.has('AWSPREVIOUS'),
  )?.[0];
  return retire(
    {
      secretArn: arn,
      versionId,
      previousVersionId,
      consumersProved: true,
      pinnedUses: false,
      convergedAtMs: CONVERGED_AT_MS,
      ...request,
    },
    {
      ...rig.deps,
      databases: [rig.deps],
      clock: at(CONVERGED_AT_MS + 5 * MINUTE_MS),
      rotationFunctions: [ROTATION_FUNCTION],
      ...deps,
    },
    deadlineIn(30_000, systemClock),
  );
}
const at = (nowMs: number): Clock => ({ ...systemClock, now: () => nowMs });
const previousLogsIn = () => database.users.get('app')?.mayLogIn;

describe('the previous user, once its consumers have converged', () => {
  beforeEach(() => rotated({}));

  test('can no longer log in, while the current one can', async () => {
    expect(await ask()).toEqual({ kind: 'retired', user: 'app', engine: 'postgres' });
    expect(previousLogsIn()).toBe(false);
    expect(database.users.get('app_clone')?.mayLogIn).toBe(true);
  });

  test('comes back with the next rotation', async () => {
    await ask();
    const token = rig.secrets.beginRotation(arn);
    for (const step of STEPS) await rig.run(step, arn, token);
    expect(previousLogsIn()).toBe(true);
  });

  test('retired again is retired', async () => {
    await ask();
    expect(await ask()).toEqual({ kind: 'retired', user: 'app', engine: 'postgres' });
  });

  test('lives through the grace', async () => {
    const clock = at(CONVERGED_AT_MS + 3.5 * MINUTE_MS);
    expect(await ask({}, { clock })).toEqual({ kind: 'tooEarly', retryInSeconds: 90 });
    expect(previousLogsIn()).toBe(true);
    expect(database.calls).toEqual([]);
  });

  test('100: lives while a session of it is open, and the session is named', async () => {
    const session = { applicationName: 'report', clientAddress: '10.0.0.7', since: '2027-01-01T00:00:00Z' };
    database.users.get('app')?.sessions.push(session);
    expect(await ask()).toEqual({ kind: 'sessionsOpen', user: 'app', sessions: [session] });
    expect(previousLogsIn()).toBe(true);
  });

  test('lives where applications go by a custom endpoint, which may lead to readers that nobody asks', async () => {
    const host = 'reports.cluster-custom-abc123.eu-central-1.rds.amazonaws.com';
    await rotated({ host }, { 'rekey:database-host': base.host });
    expect(await ask()).toEqual({ kind: 'leftAlone', why: expect.stringContaining(host) });
    expect(previousLogsIn()).toBe(true);
  });

  test('lives while a workload is pinned to another version', async () => {
    expect(await ask({ pinnedUses: true })).toMatchObject({ kind: 'leftAlone' });
    expect(database.calls).toEqual([]);
  });

  test('lives when no consumer is known', async () => {
    expect(await ask({ consumersProved: false })).toMatchObject({ kind: 'leftAlone' });
    expect(database.calls).toEqual([]);
  });

  test('is left to a later version that is current by now', async () => {
    rig.secrets.put(arn, 'anything');
    expect(await ask()).toEqual({ kind: 'superseded' });
    expect(database.calls).toEqual([]);
  });

  test('is left to a rotation that has begun', async () => {
    rig.secrets.beginRotation(arn);
    expect(await ask()).toEqual({ kind: 'superseded' });
    expect(database.calls).toEqual([]);
  });

  test('is left to a rotation that begins at the last moment', async () => {
    const { alternatingUsers } = database.engine;
    const engine: DatabaseEngine = {
      ...database.engine,
      alternatingUsers: {
        ...alternatingUsers,
        disableAlternate: async (pair, stillWanted, deadline) => {
          rig.secrets.beginRotation(arn);
          return await alternatingUsers.disableAlternate(pair, stillWanted, deadline);
        },
      },
    };
    expect(await ask({}, { databases: [{ ...rig.deps, engine }] })).toEqual({ kind: 'superseded' });
    expect(previousLogsIn()).toBe(true);
  });

  test('lives when the current one cannot log in: it may be all that works', async () => {
    database.addUser('app_clone', { password: 'another' });
    await expect(ask()).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
    expect(previousLogsIn()).toBe(true);
  });

  test('lives in a secret that something else rotates, which would not let it in again', async () => {
    rig.secrets.secret(arn).rotationFunction = `${ROTATION_FUNCTION}-of-aws`;
    expect(await ask()).toMatchObject({ kind: 'nothingToRetire' });
    rig.secrets.secret(arn).rotationFunction = undefined;
    expect(await ask()).toMatchObject({ kind: 'nothingToRetire' });
    expect(database.calls).toEqual([]);
  });

  test('lives in a secret that may not be looked at, as none is that Rekey does not rotate', async () => {
    const store: RetireDeps['store'] = Object.create(rig.deps.store);
    store.describe = async () => Promise.reject(new RekeyError('ACCESS_DENIED', 'not authorized'));
    expect(await ask({}, { store })).toMatchObject({ kind: 'nothingToRetire' });
    expect(database.calls).toEqual([]);
  });

  test('lives in a secret that is scheduled for deletion', async () => {
    rig.secrets.secret(arn).deletedAtMs = CONVERGED_AT_MS;
    expect(await ask()).toMatchObject({ kind: 'leftAlone' });
    expect(database.calls).toEqual([]);
  });

  test('lives in a secret whose rotation was switched off', async () => {
    rig.secrets.secret(arn).rotationEnabled = false;
    expect(await ask()).toMatchObject({ kind: 'nothingToRetire' });
  });

  test.each([
    [{ username: 'postgres' }, 'leftAlone'],
    [{ host: 'other.example' }, 'leftAlone'],
    [{ port: 5433 }, 'leftAlone'],
    [{ username: 'app_clone' }, 'nothingToRetire'],
  ])('is not taken for one when AWSPREVIOUS says %j', async (over, kind) => {
    const secret = rig.secrets.secret(arn);
    for (const version of secret.versions.values())
      if (version.stages.has('AWSPREVIOUS'))
        version.value = JSON.stringify({ ...JSON.parse(version.value ?? ''), ...over });
    expect(await ask()).toMatchObject({ kind });
    expect(database.calls).toEqual([]);
  });

  test('without any previous version there is nothing to retire', async () => {
    for (const version of rig.secrets.secret(arn).versions.values()) version.stages.delete('AWSPREVIOUS');
    expect(await ask()).toMatchObject({ kind: 'nothingToRetire' });
  });
});

describe('retirement by tag', () => {
  test('rekey:retire=next-rotation leaves the previous user alone', async () => {
    await rotated({}, { 'rekey:retire': 'next-rotation' });
    expect(await ask()).toMatchObject({ kind: 'leftAlone' });
    expect(previousLogsIn()).toBe(true);
  });

  test('rekey:retire=converged retires without a known consumer, but not against a pinned one', async () => {
    await rotated({}, { 'rekey:retire': 'converged' });
    expect(await ask({ consumersProved: false, pinnedUses: true })).toMatchObject({ kind: 'leftAlone' });
    expect(await ask({ consumersProved: false })).toEqual({ kind: 'retired', user: 'app', engine: 'postgres' });
  });

  test('rekey:retire-after is the grace', async () => {
    await rotated({}, { 'rekey:retire-after': '1h' });
    expect(await ask()).toEqual({ kind: 'tooEarly', retryInSeconds: 55 * 60 });
  });

  test('rekey:hold leaves the previous user alone until its end, and no longer', async () => {
    await rotated({});
    rig.secrets.secret(arn).tags.set('rekey:hold', '2027-01-02');
    expect(await ask()).toEqual({ kind: 'tooEarly', retryInSeconds: (24 * 60 - 5) * 60 });
    expect(previousLogsIn()).toBe(true);
    expect(await ask({}, { clock: at(Date.UTC(2027, 0, 2)) })).toEqual({
      kind: 'retired',
      user: 'app',
      engine: 'postgres',
    });
  });

  test('a tag that is not understood stops it', async () => {
    await rotated({});
    rig.secrets.secret(arn).tags.set('rekey:retire', 'never');
    await expect(ask()).rejects.toMatchObject({ code: 'TAG_INVALID' });
    expect(previousLogsIn()).toBe(true);
  });
});

describe('what has nothing to retire', () => {
  test('a single user: its old password died when the new one was set', async () => {
    await rotated({ masterarn: undefined });
    expect(await ask()).toMatchObject({ kind: 'nothingToRetire' });
    expect(database.calls).toEqual([]);
  });
});
