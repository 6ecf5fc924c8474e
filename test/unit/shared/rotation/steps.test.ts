import { beforeEach, describe, expect, test } from '@jest/globals';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { STEPS, type Step } from '../../../../shared/rotation/plan.ts';
import type { StepOutcome } from '../../../../shared/rotation/steps.ts';
import type { SecretStore } from '../../../../shared/secrets/port.ts';
import { createFakeDatabase, type FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, likePostgres, type Rig, snapshotOf } from './rig.ts';

const base = { engine: 'postgres', host: 'db.example', port: 5432, dbname: 'shop', note: 'kept' };

let database: FakeDatabase;
let rig: Rig;
let arn: string;
let adminArn: string;
let token: string;

function begin(app: Record<string, unknown>, tags: Record<string, string> = {}) {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old', rights: ['read', 'write'] });
  rig = createRig(likePostgres(database));
  adminArn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/db',
  });
  const masterarn = 'masterarn' in app ? { masterarn: adminArn } : {};
  const value = { ...base, username: 'app', password: 'old', ...app, ...masterarn };
  arn = rig.secrets.create('app/db', JSON.stringify(value), tags);
  token = rig.secrets.beginRotation(arn);
}

const run = (step: Step, over = {}) => rig.run(step, arn, token, over);
const valueOfStage = async (stage: string) =>
  JSON.parse((await rig.secrets.store.readStage(arn, stage))?.value.expose() ?? 'null');
const logsIn = async (stage: string) => {
  const { username, password } = await valueOfStage(stage);
  const user = database.users.get(username);
  return user?.mayLogIn === true && user.passwords.includes(password);
};
const passwords = () => [...database.users].map(([name, user]) => [name, ...user.passwords]);
/** The server, with a policy that no password meets. */
const choosy = (): DatabaseEngine => ({
  ...rig.deps.engine,
  setPassword: async () => Promise.reject(new RekeyError('PASSWORD_REJECTED', 'too simple')),
});
const kinds = async (steps: readonly Step[]) => {
  const outcomes: StepOutcome['kind'][] = [];
  for (const step of steps) outcomes.push((await run(step)).kind);
  return outcomes;
};

describe('a rotation of a single user', () => {
  beforeEach(() => begin({}));

  test('stores the value, changes the password, tests it and promotes it', async () => {
    expect(await kinds(STEPS)).toEqual(['created', 'set', 'tested', 'promoted']);
    expect(await logsIn('AWSCURRENT')).toBe(true);
    expect(await valueOfStage('AWSCURRENT')).toEqual({
      ...base,
      username: 'app',
      password: expect.stringMatching(/^.{32}$/),
    });
    expect((await valueOfStage('AWSPREVIOUS')).password).toBe('old');
  });

  test('every step twice in a row ends the same', async () => {
    const twice = STEPS.flatMap((step) => [step, step]);
    const expected = [
      'created',
      'alreadyCreated',
      'set',
      'alreadySet',
      'tested',
      'tested',
      'promoted',
      'alreadyCurrent',
    ];
    expect(await kinds(twice)).toEqual(expected);
  });

  test('all steps once more after a failure in the middle end well', async () => {
    expect(await kinds(['createSecret', 'setSecret', ...STEPS])).toEqual([
      'created',
      'set',
      'alreadyCreated',
      'alreadySet',
      'tested',
      'promoted',
    ]);
  });

  test('the normal case has no login that the server refuses', async () => {
    await kinds(STEPS);
    expect(database.calls).toEqual(['setPassword', 'login', 'login']);
  });

  test('a password that was set by hand and is wrong is healed through the previous one', async () => {
    rig.secrets.put(arn, JSON.stringify({ ...base, username: 'app', password: 'wrong, by hand' }));
    token = rig.secrets.beginRotation(arn);
    expect(await kinds(STEPS)).toEqual(['created', 'set', 'tested', 'promoted']);
    expect(await logsIn('AWSCURRENT')).toBe(true);
  });

  test('a previous value of another user or server is not tried', async () => {
    for (const other of [{ username: 'other' }, { host: 'evil.example' }]) {
      begin({ ...other });
      rig.secrets.put(arn, JSON.stringify({ ...base, username: 'app', password: 'wrong' }));
      token = rig.secrets.beginRotation(arn);
      await run('createSecret');
      await expect(run('setSecret')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
      expect(database.calls).toEqual(['setPassword', 'login']);
    }
  });

  test('after a network error no other password is tried', async () => {
    await run('createSecret');
    database.failure = new RekeyError('DATABASE_UNREACHABLE', 'refused');
    await expect(run('setSecret')).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(database.calls).toEqual(['setPassword']);
  });

  test('a password that the server rejects frees the secret for a rotation with a new one', async () => {
    await run('createSecret');
    await expect(run('setSecret', { engine: choosy() })).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });
    await expect(run('setSecret')).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });
    expect(await logsIn('AWSCURRENT')).toBe(true);

    token = rig.secrets.beginRotation(arn);
    expect(await kinds(STEPS)).toEqual(['created', 'set', 'tested', 'promoted']);
  });

  test('a password that the server rejects keeps its label as long as nobody can say that it is not set', async () => {
    await run('createSecret');
    const login = async () => Promise.reject(new RekeyError('DATABASE_UNREACHABLE', 'reset'));
    const rejected = run('setSecret', { engine: { ...choosy(), login } });
    await expect(rejected).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });
    expect(await kinds(STEPS)).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
  });

  test('a rejected password is the failure that people hear of, even if its version cannot be withdrawn', async () => {
    await run('createSecret');
    const store = {
      ...rig.deps.store,
      withdrawLabel: async () => {
        throw new RekeyError('ACCESS_DENIED', 'UpdateSecretVersionStage');
      },
    };

    await expect(run('setSecret', { engine: choosy(), store })).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });
  });

  test('finishSecret does not promote what no longer logs in', async () => {
    await kinds(['createSecret', 'setSecret', 'testSecret']);
    database.addUser('app', { password: 'changed by someone' });
    const before = snapshotOf(rig.secrets, arn);
    await expect(run('finishSecret')).rejects.toMatchObject({ code: 'PENDING_REFUSED', retryable: true });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
    expect(rig.events.at(-1)).toMatchObject({
      detail: { stillWorks: expect.stringContaining('or has lost it again, AWSCURRENT works') },
    });
  });

  test('finishSecret whose answer was lost succeeds', async () => {
    await kinds(['createSecret', 'setSecret', 'testSecret']);
    const store: SecretStore = {
      ...rig.deps.store,
      async moveCurrent(id, move) {
        await rig.deps.store.moveCurrent(id, move);
        await rig.deps.store.moveCurrent(id, move); // the SDK tries again by itself
      },
    };
    expect(await run('finishSecret', { store })).toEqual({ kind: 'promoted' });
  });

  test('finishSecret leaves AWSCURRENT to whoever moved it meanwhile', async () => {
    await kinds(['createSecret', 'setSecret', 'testSecret']);
    const store: SecretStore = {
      ...rig.deps.store,
      async moveCurrent(id, move) {
        rig.secrets.put(id, JSON.stringify({ ...base, username: 'app', password: 'theirs' }));
        await rig.deps.store.moveCurrent(id, move);
      },
    };
    await expect(run('finishSecret', { store })).rejects.toMatchObject({ code: 'CURRENT_MOVED' });
    expect((await valueOfStage('AWSCURRENT')).password).toBe('theirs');
  });

  test('createSecret that was held up stores nothing for a rotation that was cancelled: another may have begun', async () => {
    const { store, clock } = rig.deps;
    let passedMs = 0;
    const late: SecretStore = {
      ...store,
      async read(...asked) {
        const found = await store.read(...asked);
        if (passedMs > 0) return found;
        passedMs = 10_000;
        await store.withdrawLabel(arn, 'AWSPENDING', token);
        const next = rig.secrets.beginRotation(arn);
        for (const step of ['createSecret', 'setSecret'] as const) await rig.run(step, arn, next);
        return found;
      },
    };

    const held = run('createSecret', { store: late, clock: { ...clock, now: () => clock.now() + passedMs } });

    await expect(held).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });
    expect(await logsIn('AWSPENDING')).toBe(true);
  });

  test('createSecret does not take a value that another hand stored meanwhile and that does not fit', async () => {
    const store: SecretStore = {
      ...rig.deps.store,
      async writeVersion(request) {
        const version = rig.secrets.secret(arn).versions.get(token);
        if (version) version.value = JSON.stringify({ ...base, username: 'postgres', password: 'theirs' });
        return rig.deps.store.writeVersion(request);
      },
    };
    await expect(run('createSecret', { store })).rejects.toMatchObject({ code: 'PENDING_MISMATCH' });
  });

  test('a value that becomes visible late is waited for', async () => {
    await run('createSecret');
    let reads = 0;
    const store: SecretStore = {
      ...rig.deps.store,
      read: async (id, version) =>
        version === token && ++reads <= 2 ? undefined : await rig.deps.store.read(id, version),
    };
    expect(await run('setSecret', { store })).toEqual({ kind: 'set' });
  });

  test('a lone testSecret logs in as the current user and changes nothing', async () => {
    const before = [snapshotOf(rig.secrets, arn), passwords()];
    expect(await run('testSecret')).toMatchObject({ kind: 'preflight', report: { works: true, wouldReconcile: [] } });
    expect([snapshotOf(rig.secrets, arn), passwords()]).toEqual(before);
    expect(database.calls).toEqual(['inspect', 'login', 'rehearse']);
  });

  test('a lone testSecret tells that the current user cannot log in', async () => {
    database.addUser('app', { password: 'another' });
    await expect(run('testSecret')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
  });
});

describe('a rotation of alternating users', () => {
  beforeEach(() => begin({ masterarn: '' }));

  test('the other user gets the rights, is tested and promoted; the current one stays as it is', async () => {
    expect(await kinds(STEPS)).toEqual(['created', 'set', 'tested', 'promoted']);
    expect(await valueOfStage('AWSCURRENT')).toMatchObject({
      username: 'app_clone',
      masterarn: adminArn,
      note: 'kept',
    });
    expect(await logsIn('AWSCURRENT')).toBe(true);
    expect(await logsIn('AWSPREVIOUS')).toBe(true);
    expect(database.users.get('app_clone')?.rights).toEqual(new Set(['read', 'write']));
  });

  test('the second rotation goes back to the first user', async () => {
    await kinds(STEPS);
    token = rig.secrets.beginRotation(arn);
    await kinds(STEPS);
    expect((await valueOfStage('AWSCURRENT')).username).toBe('app');
    expect(await logsIn('AWSCURRENT')).toBe(true);
    expect(await logsIn('AWSPREVIOUS')).toBe(true);
  });

  test('nothing is prepared for a secret whose own password is wrong', async () => {
    await run('createSecret');
    database.addUser('app', { password: 'another' });
    await expect(run('setSecret')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
    expect(database.users.has('app_clone')).toBe(false);
    expect(rig.events.at(-1)).toMatchObject({
      detail: {
        message: expect.stringContaining('"app"'),
        stillWorks: expect.stringContaining('The login that the message names does not'),
      },
    });
  });

  test('testSecret does not pass a pending user that cannot log in', async () => {
    await kinds(['createSecret', 'setSecret']);
    database.addUser('app_clone', { password: 'changed by hand', rights: ['read', 'write'] });
    await expect(run('testSecret')).rejects.toMatchObject({ code: 'PENDING_REFUSED', retryable: true });
  });

  test.each([
    [{ expired: true }, 'Prolong the user'],
    [{ mayLogIn: false }, 'Unlock the user'],
    [{ passwords: ['lost'] }, 'runs all steps again by itself'],
  ])('a pending login that is refused as %j is told with its cure', async (state, cure) => {
    await kinds(['createSecret', 'setSecret']);
    Object.assign(database.users.get('app_clone') ?? {}, state);
    await expect(run('testSecret')).rejects.toMatchObject({
      code: 'PENDING_REFUSED',
      action: expect.stringContaining(cure),
    });
  });

  test('rights that changed after setSecret stop testSecret', async () => {
    await kinds(['createSecret', 'setSecret']);
    database.users.get('app')?.rights.add('admire');
    await expect(run('testSecret')).rejects.toMatchObject({
      code: 'RIGHTS_DIFFER',
      message: expect.stringContaining('app_clone lacks admire'),
    });
  });

  test('a right that cannot be copied stops setSecret before the user can log in', async () => {
    database.irreconcilable.add('write');
    await run('createSecret');
    await expect(run('setSecret')).rejects.toMatchObject({ code: 'RIGHTS_DIFFER' });
    expect(database.users.has('app_clone')).toBe(false);
  });

  describe('whose setSecret is held up before it changes anything', () => {
    /** Runs it; the act comes before it is told of the labels once more. */
    async function heldUp(act: () => unknown) {
      let looks = 0;
      const { store } = rig.deps;
      const describe: SecretStore['describe'] = async (id) => {
        if (id === arn) looks += 1;
        if (id === arn && looks === 2) await act();
        return store.describe(id);
      };
      return run('setSecret', { store: { ...store, describe } });
    }
    beforeEach(() => run('createSecret'));

    test('ends in silence when a later delivery has done the rest', async () => {
      expect(await heldUp(() => kinds(STEPS))).toEqual({ kind: 'alreadyCurrent' });

      expect(await logsIn('AWSCURRENT')).toBe(true);
      expect(rig.events.map(({ type }) => type)).toEqual(['Rotation Succeeded']);
    });

    test('changes nothing when the rotation was cancelled', async () => {
      const cancel = () => rig.secrets.secret(arn).versions.get(token)?.stages.delete('AWSPENDING');

      await expect(heldUp(cancel)).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });

      expect(database.users.has('app_clone')).toBe(false);
    });

    test('changes nothing when AWSCURRENT was moved', async () => {
      const value = JSON.stringify(await valueOfStage('AWSCURRENT'));
      const moved = heldUp(() => rig.secrets.label(arn, 'AWSCURRENT', value));

      await expect(moved).rejects.toMatchObject({ code: 'CURRENT_MOVED' });

      expect(database.users.has('app_clone')).toBe(false);
    });
  });

  test('finishSecret whose login took long does not promote again what was moved back from meanwhile', async () => {
    await kinds(['createSecret', 'setSecret', 'testSecret']);
    const { store, engine, clock } = rig.deps;
    const before = (await store.readStage(arn, 'AWSCURRENT'))?.versionId ?? '';
    let passedMs = 0;
    const login: typeof engine.login = async (...args) => {
      await run('finishSecret'); // its twin
      passedMs = 10_000;
      await store.withdrawLabel(arn, 'AWSPENDING', token);
      await store.moveCurrent(arn, { from: token, to: before });
      return engine.login(...args);
    };

    const late = run('finishSecret', {
      engine: { ...engine, login },
      clock: { ...clock, now: () => clock.now() + passedMs },
    });

    await expect(late).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });
    expect((await store.readStage(arn, 'AWSCURRENT'))?.versionId).toBe(before);
  });

  test('a lone testSecret says what a rotation would reconcile and changes nothing', async () => {
    const before = [snapshotOf(rig.secrets, arn), passwords()];
    expect(await run('testSecret')).toMatchObject({
      kind: 'preflight',
      report: { works: true, wouldReconcile: ['app_clone does not exist'] },
    });
    expect([snapshotOf(rig.secrets, arn), passwords()]).toEqual(before);
  });

  test('a lone testSecret names the statements that the administrator lacks', async () => {
    database.missing.push('GRANT app TO admin WITH ADMIN OPTION');
    await expect(run('testSecret')).rejects.toMatchObject({
      code: 'PRIVILEGE_MISSING',
      action: expect.stringContaining('GRANT app TO admin WITH ADMIN OPTION'),
    });
  });

  test('by tag, a secret with masterarn is rotated as a single user', async () => {
    begin({ masterarn: '' }, { 'rekey:strategy': 'single-user' });
    await kinds(STEPS);
    expect((await valueOfStage('AWSCURRENT')).username).toBe('app');
  });
});

describe('tags', () => {
  test('rekey:hold keeps a rotation from starting', async () => {
    begin({}, { 'rekey:hold': '2999-01-01' });
    await expect(run('createSecret')).rejects.toMatchObject({ code: 'ROTATION_HELD' });
    expect(database.calls).toEqual([]);
  });

  test('rekey:hold lets a rotation that has begun come to its end', async () => {
    begin({});
    await run('createSecret');
    rig.secrets.secret(arn).tags.set('rekey:hold', '2999-01-01');
    expect(await kinds(STEPS)).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
  });

  test('rekey:hold is over on its day', async () => {
    begin({}, { 'rekey:hold': '2020-01-01' });
    expect(await run('createSecret')).toEqual({ kind: 'created' });
  });

  test('a tag that is not understood stops every step', async () => {
    begin({}, { 'rekey:hodl': '2027-01-01' });
    for (const step of STEPS) await expect(run(step)).rejects.toMatchObject({ code: 'TAG_INVALID' });
    expect(database.calls).toEqual([]);
  });

  test('the password policy is the one of the secret', async () => {
    begin({}, { 'rekey:password-length': '64', 'rekey:exclude-characters': '!#$%&()*+,-.;<=>?[]^_`{|}~' });
    await run('createSecret');
    expect((await valueOfStage('AWSPENDING')).password).toMatch(/^[A-Za-z0-9]{64}$/);
  });
});

describe('what is announced', () => {
  beforeEach(() => begin({ masterarn: '' }));

  test('a rotation that succeeded, once', async () => {
    await kinds([...STEPS, ...STEPS]);
    expect(rig.events).toEqual([
      {
        type: 'Rotation Succeeded',
        detail: {
          secretArn: arn,
          secretName: 'app/db',
          versionId: token,
          engine: 'postgres',
          strategy: 'alternating-users',
        },
      },
    ]);
  });

  test('a failure, with its code, what to do, and what still works', async () => {
    await run('createSecret');
    database.failure = new RekeyError('DATABASE_UNREACHABLE', 'the database at db.example cannot be reached');
    await expect(run('setSecret')).rejects.toThrow();
    expect(rig.events).toEqual([
      {
        type: 'Rotation Failed',
        detail: {
          secretArn: arn,
          secretName: 'app/db',
          versionId: token,
          step: 'setSecret',
          code: 'DATABASE_UNREACHABLE',
          message: 'DATABASE_UNREACHABLE: the database at db.example cannot be reached',
          retryable: true,
          action: expect.stringContaining('security groups'),
          stillWorks: 'AWSCURRENT works as before: its password was not touched.',
        },
      },
    ]);
  });

  test('a failure that Rekey does not know says nothing of its cause', async () => {
    const store: SecretStore = {
      ...rig.deps.store,
      describe: async () => {
        throw new TypeError('hunter2');
      },
    };
    await expect(run('createSecret', { store })).rejects.toThrow();
    expect(JSON.stringify(rig.events)).not.toContain('hunter2');
    expect(rig.events[0]).toMatchObject({ detail: { code: 'UNEXPECTED' } });
  });
});
