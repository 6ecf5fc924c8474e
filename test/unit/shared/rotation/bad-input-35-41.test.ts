import { describe, expect, test } from '@jest/globals';
import { CURRENT } from '../../../../shared/secrets/port.ts';
import { createRig, type Rig, refusalOf, snapshotOf } from './rig.ts';

/** Two secrets or labels that do not fit together: refused before any connection. */

const HOST = 'db.example';
const admin = (over: Record<string, unknown> = {}) =>
  JSON.stringify({ engine: 'postgres', host: HOST, username: 'admin', password: 'a', ...over });
const app = (over: Record<string, unknown> = {}) =>
  JSON.stringify({ engine: 'postgres', host: HOST, username: 'app', password: 'p', ...over });

interface Pair {
  readonly rig: Rig;
  readonly adminArn: string;
  readonly appArn: string;
  readonly token: string;
}

function pairOf(over: { app?: Record<string, unknown>; admin?: Record<string, unknown>; masterarn?: string }): Pair {
  const rig = createRig();
  const adminArn = rig.secrets.create('admin', admin(over.admin), { 'rekey:admin-for': 'app/db' });
  const appArn = rig.secrets.create('app/db', app({ masterarn: over.masterarn ?? adminArn, ...over.app }));
  return { rig, adminArn, appArn, token: rig.secrets.beginRotation(appArn) };
}

async function expectRefused({ rig, appArn, token }: Pair, code: string, says: string | RegExp = '') {
  const before = await rig.secrets.store.readStage(appArn, CURRENT);
  const error = await refusalOf(rig, appArn, token);
  expect(error).toMatchObject({ code, message: expect.stringMatching(says) });
  expect(await rig.secrets.store.readStage(appArn, CURRENT)).toEqual(before);
}

describe('bad input 35, 36 and 41: the administrator', () => {
  const absent = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-Absent';

  test('a fitting administrator lets the pending value be stored for the other user', async () => {
    const { rig, appArn, token } = pairOf({});
    expect(await rig.run('createSecret', appArn, token)).toEqual({ kind: 'created' });
    const pending = JSON.parse((await rig.secrets.store.read(appArn, token))?.value.expose() ?? '');
    expect(pending).toMatchObject({ username: 'app_clone', host: HOST });
    expect(pending.password).not.toBe('p');
  });

  test('35: of another account', async () => {
    const masterarn = absent.replace('123456789012', '210987654321');
    await expectRefused(pairOf({ masterarn }), 'ADMIN_SECRET_INVALID', 'another account');
  });

  test('35: of another Region', async () => {
    const masterarn = absent.replace('eu-central-1', 'eu-west-1');
    await expectRefused(pairOf({ masterarn }), 'ADMIN_SECRET_INVALID', 'Region');
  });

  test('35: the secret itself', async () => {
    const pair = pairOf({});
    for (const version of pair.rig.secrets.secret(pair.appArn).versions.values())
      if (version.stages.has(CURRENT)) version.value = app({ masterarn: pair.appArn });
    await expectRefused(pair, 'ADMIN_SECRET_INVALID', 'itself');
  });

  test('35: missing', async () => {
    await expectRefused(pairOf({ masterarn: absent }), 'SECRET_NOT_FOUND');
  });

  test('35: scheduled for deletion', async () => {
    const pair = pairOf({});
    pair.rig.secrets.secret(pair.adminArn).deletedAtMs = 1;
    await expectRefused(pair, 'SECRET_DELETED');
  });

  test('35: without a value', async () => {
    const pair = pairOf({});
    pair.rig.secrets.secret(pair.adminArn).versions.clear();
    await expectRefused(pair, 'ADMIN_SECRET_INVALID', 'no value');
  });

  test('35: circular', async () => {
    const pair = pairOf({});
    pair.rig.secrets.put(pair.adminArn, admin({ masterarn: pair.appArn }));
    await expectRefused(pair, 'ADMIN_SECRET_INVALID', 'points back');
  });

  test('36: of another host', async () => {
    await expectRefused(pairOf({ admin: { host: 'evil.example' } }), 'ADMIN_SECRET_INVALID', 'host or port');
  });

  test('36: of another port', async () => {
    await expectRefused(pairOf({ admin: { port: 5433 } }), 'ADMIN_SECRET_INVALID', 'host or port');
  });

  test('36: that is not a database secret', async () => {
    await expectRefused(pairOf({ admin: { engine: undefined } }), 'SECRET_VALUE_INVALID', 'AWSCURRENT of .*admin');
  });

  test.each(['admin', 'admin_clone'])('41: that is the user %s itself or its other turn', async (username) => {
    await expectRefused(pairOf({ app: { username } }), 'ADMIN_SECRET_INVALID', 'take turns');
  });

  test.each<[string, Record<string, string>, string | undefined]>([
    ['the secret has one and no tag', {}, '10.0.0.5'],
    ['a reader is one, whatever the tag says', { 'rekey:readers': '10.0.0.6', 'rekey:server-name': HOST }, undefined],
  ])('32: an address is refused with what to do where %s', async (_, tags, host) => {
    const rig = createRig();
    const arn = rig.secrets.create('app/db', app(host === undefined ? {} : { host }), tags);
    const error = await refusalOf(rig, arn, rig.secrets.beginRotation(arn));
    expect(error).toMatchObject({
      code: 'HOST_NOT_ALLOWED',
      message: expect.not.stringContaining('rekey:server-name'),
      action: expect.stringMatching(/rekey:server-name .* a reader needs a name/),
    });
  });

  test('alternating users by tag need a masterarn', async () => {
    const rig = createRig();
    const appArn = rig.secrets.create('app/db', app(), { 'rekey:strategy': 'alternating-users' });
    const pair = { rig, appArn, adminArn: '', token: rig.secrets.beginRotation(appArn) };
    await expectRefused(pair, 'SECRET_VALUE_INVALID', 'masterarn');
  });
});

describe('bad input 37 to 40: the pending version', () => {
  const begun = (username = 'app') => {
    const rig = createRig();
    const adminArn = rig.secrets.create('admin', admin(), { 'rekey:admin-for': 'app/db' });
    const arn = rig.secrets.create('app/db', app({ username, masterarn: adminArn }));
    return { rig, arn, adminArn, token: rig.secrets.beginRotation(arn) };
  };
  const pendingIs = ({ rig, arn, token }: ReturnType<typeof begun>, value: string) => {
    const version = rig.secrets.secret(arn).versions.get(token);
    if (version) version.value = value;
  };
  const STEPS_WITH_A_VALUE = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;

  test.each(STEPS_WITH_A_VALUE)('37: %s refuses another host before any connection', async (step) => {
    const state = begun();
    pendingIs(state, app({ username: 'app_clone', host: 'evil.example', password: 'n', masterarn: state.adminArn }));
    await expect(state.rig.run(step, state.arn, state.token)).rejects.toMatchObject({ code: 'PENDING_MISMATCH' });
  });

  test.each(STEPS_WITH_A_VALUE)(
    '37: %s refuses another host for applications, where a tag says where Rekey works',
    async (step) => {
      const state = begun();
      state.rig.secrets.secret(state.arn).tags.set('rekey:database-host', 'writer.example');
      pendingIs(state, app({ username: 'app_clone', host: 'evil.example', password: 'n', masterarn: state.adminArn }));
      await expect(state.rig.run(step, state.arn, state.token)).rejects.toMatchObject({
        code: 'PENDING_MISMATCH',
        message: expect.stringContaining('has another host'),
      });
    },
  );

  test.each(STEPS_WITH_A_VALUE)(
    '37: %s refuses a connection without TLS that AWSCURRENT does not ask for',
    async (step) => {
      const state = begun();
      state.rig.secrets.secret(state.arn).tags.set('rekey:accept', 'plaintext');
      pendingIs(state, app({ username: 'app_clone', ssl: false, password: 'n', masterarn: state.adminArn }));
      await expect(state.rig.run(step, state.arn, state.token)).rejects.toMatchObject({ code: 'PENDING_MISMATCH' });
    },
  );

  test.each(STEPS_WITH_A_VALUE)('37: %s refuses another user before any connection', async (step) => {
    const state = begun();
    pendingIs(state, app({ username: 'postgres', password: 'n', masterarn: state.adminArn }));
    await expect(state.rig.run(step, state.arn, state.token)).rejects.toMatchObject({ code: 'PENDING_MISMATCH' });
  });

  test.each(STEPS_WITH_A_VALUE)('37: %s refuses a pending value that cannot be read', async (step) => {
    const state = begun();
    pendingIs(state, '{"password":"hunter2",}');
    const failure = await state.rig.run(step, state.arn, state.token).catch((error) => error);
    expect(failure).toMatchObject({ code: 'PENDING_MISMATCH', action: expect.stringContaining('AWSPENDING') });
    expect(failure.message).not.toContain('hunter2');
  });

  test('38: a label without a value is how a rotation begins', async () => {
    const { rig, arn, token } = begun();
    expect(await rig.run('createSecret', arn, token)).toEqual({ kind: 'created' });
  });

  test.each(['createSecret', 'setSecret', 'finishSecret'] as const)(
    '39: %s refuses to rotate from a login to the same login',
    async (step) => {
      const state = begun();
      pendingIs(state, app({ masterarn: state.adminArn }));
      await expect(state.rig.run(step, state.arn, state.token)).rejects.toMatchObject({ code: 'PENDING_MISMATCH' });
    },
  );

  test('40: a name that gets too long with its suffix is refused before a value is stored', async () => {
    const { rig, arn, token } = begun('u'.repeat(58));
    const before = snapshotOf(rig.secrets, arn);
    await expect(rig.run('createSecret', arn, token)).rejects.toMatchObject({
      code: 'SECRET_VALUE_INVALID',
      message: expect.stringContaining('63 bytes'),
    });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test.each([
    ['u'.repeat(57), `${'u'.repeat(57)}_clone`],
    ['x_clone', 'x'],
    ['_clone_clone', '_clone'],
  ])('40: the alternate of %s is %s', async (username, alternate) => {
    const { rig, arn, token } = begun(username);
    await rig.run('createSecret', arn, token);
    const pending = await rig.secrets.store.read(arn, token);
    expect(JSON.parse(pending?.value.expose() ?? '').username).toBe(alternate);
  });

  test.each(['rds_superuser_clone', 'rdsadmin_clone', 'public_clone', 'none_clone'])(
    '41: %s, whose alternate is a user of the platform or a word of SQL, is refused before a value is stored',
    async (username) => {
      const { rig, arn, token } = begun(username);
      const before = snapshotOf(rig.secrets, arn);
      await expect(rig.run('createSecret', arn, token)).rejects.toMatchObject({ code: 'SECRET_VALUE_INVALID' });
      expect(snapshotOf(rig.secrets, arn)).toEqual(before);
    },
  );

  test('40: a name that is nothing but the suffix is refused', async () => {
    const { rig, arn, token } = begun('_clone');
    await expect(rig.run('createSecret', arn, token)).rejects.toMatchObject({ code: 'SECRET_VALUE_INVALID' });
  });
});
