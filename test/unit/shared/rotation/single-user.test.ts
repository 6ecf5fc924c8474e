import { describe, expect, test } from '@jest/globals';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { CURRENT, PENDING } from '../../../../shared/secrets/port.ts';
import { createFakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, likePostgres } from './rig.ts';

test('a password that is set keeps its label when its login was refused for a moment, and a reset to it is rejected', async () => {
  const database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old' });
  const rig = createRig(likePostgres(database));
  const base = { engine: 'postgres', host: 'db.example' };
  const masterarn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/db',
  });
  const arn = rig.secrets.create('app/db', JSON.stringify({ ...base, username: 'app', password: 'old', masterarn }), {
    'rekey:strategy': 'single-user',
    'rekey:accept': 'admin-reset',
  });
  const token = rig.secrets.beginRotation(arn);
  await rig.run('createSecret', arn, token);
  await rig.run('setSecret', arn, token);

  const { engine } = rig.deps;
  let logins = 0;
  const moody: DatabaseEngine = {
    ...engine,
    async login(...args) {
      logins += 1;
      return logins === 1 ? { kind: 'refused', reason: 'password' } : engine.login(...args);
    },
    async setPassword(change, deadline) {
      if (change.acting.username === 'admin') throw new RekeyError('PASSWORD_REJECTED', 'it was used before');
      return engine.setPassword(change, deadline);
    },
  };
  expect(await rig.run('setSecret', arn, token, { engine: moody })).toEqual({ kind: 'alreadySet' });
  expect((await rig.secrets.store.readStage(arn, PENDING))?.versionId).toBe(token);
});

describe('a password that the server takes for an earlier one, because a twin of the step has just set it,', () => {
  test.each(['single-user', 'user-pair'])('keeps its label with %s', async (strategy) => {
    const database = createFakeDatabase('postgres');
    const [app, other] = [
      { engine: 'postgres', host: 'db.example', username: 'app', password: 'old' },
      { engine: 'postgres', host: 'db.example', username: 'app_clone', password: 'other' },
    ];
    for (const login of [app, other]) database.addUser(login.username, login);
    const rig = createRig(database.engine);
    const arn = rig.secrets.create('app/db', JSON.stringify(app), { 'rekey:strategy': strategy });
    rig.secrets.label(arn, 'REKEYSTANDBY', JSON.stringify(other));
    const token = rig.secrets.beginRotation(arn);
    await rig.run('createSecret', arn, token);

    const { engine } = database;
    const rejected = () => Promise.reject(new RekeyError('PASSWORD_REJECTED', 'it is one of its earlier ones'));
    const late: DatabaseEngine = {
      ...engine,
      setPassword: (...args) => engine.setPassword(...args).then(rejected),
      userPair: { ...engine.userPair, changePeer: (...args) => engine.userPair.changePeer(...args).then(rejected) },
    };

    expect(await rig.run('setSecret', arn, token, { engine: late })).toEqual({ kind: 'alreadySet' });
    for (const step of ['testSecret', 'finishSecret'] as const) await rig.run(step, arn, token);
    expect((await rig.secrets.store.readStage(arn, CURRENT))?.versionId).toBe(token);
  });
});
