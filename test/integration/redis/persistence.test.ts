import { readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { type Bench, secret, soon, startBench } from './bench.ts';

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `what a restart of ${redisName(id)} brings back`,
  (id) => {
    let bench: Bench | undefined;
    afterEach(async () => {
      await bench?.server.stop();
      bench = undefined;
    });

    /** With the user `app`, whose password is `one`, also after a restart. */
    async function start(keepsUsersIn: 'acl-file' | 'config-file', ...users: string[]): Promise<Bench> {
      bench = await startBench({
        ...id,
        keepsUsersIn,
        settings: { 'enable-debug-command': 'yes' },
        users: ['user app on >one +ping', ...users],
      });
      return bench;
    }

    /** The server begins again in the same process, from its files. */
    async function restart({ server, engine, admin }: Bench): Promise<void> {
      const before = server.log().split('Ready to accept').length;
      const client = await server.connect({ username: admin.username, password: admin.password.expose() });
      await client.sendCommand(['DEBUG', 'RESTART']).catch(() => {}); // it goes without an answer
      client.destroy();
      await eventually('the server is back', () => server.log().split('Ready to accept').length > before);
      await engine.login(admin, soon());
    }

    describe.each(['acl-file', 'config-file'] as const)('with its users in the %s', (keepsUsersIn) => {
      test('is a password that was set, and not the one before', async () => {
        const { setPassword, accepted, server } = await start(keepsUsersIn);

        await setPassword('app', 'two');
        await restart(bench as Bench);

        expect(await accepted('app', 'one', 'two')).toEqual(['two']);
        expect(await readFile(server.usersFile, 'utf8')).not.toContain('two');
      });

      test('are both passwords while there are two, and the one that was kept', async () => {
        const { addPassword, accepted, engine, admin, as } = await start(keepsUsersIn);

        await addPassword('app', 'one', 'two');
        await restart(bench as Bench);
        expect(await accepted('app', 'one', 'two')).toEqual(['one', 'two']);

        await engine.dualPassword.discardOld({ acting: admin, kept: as('app', 'two') }, async () => true, soon());
        await restart(bench as Bench);
        expect(await accepted('app', 'one', 'two')).toEqual(['two']);
      });

      test('is a password whose change had not been saved, once the change is repeated', async () => {
        const { addPassword, accepted, server } = await start(keepsUsersIn);
        await server.run('ACL', 'SETUSER', 'app', '>two'); // as by an attempt that died here

        expect(await addPassword('app', 'one', 'two')).toBe('alreadyAdded');
        await restart(bench as Bench);

        expect(await accepted('app', 'one', 'two')).toEqual(['one', 'two']);
      });

      test('could not be a password where the file cannot be written: so it is not set', async () => {
        const { setPassword, accepted, server } = await start(keepsUsersIn);
        const folder = dirname(server.usersFile);
        await rename(folder, `${folder}-away`);
        try {
          await expect(setPassword('app', 'two')).rejects.toMatchObject({
            code: 'DATABASE_ERROR',
            action: expect.stringContaining('write'),
          });
        } finally {
          await rename(`${folder}-away`, folder);
        }
        expect(await accepted('app', 'one', 'two')).toEqual(['one']);
      });

      test('could not be a password that cannot be saved at the last moment: so it is taken back', async () => {
        const { engine, admin, as, accepted, server } = await start(keepsUsersIn);
        const folder = dirname(server.usersFile);
        const fails = async () => {
          await rename(folder, `${folder}-away`);
          return true;
        };
        const change = { acting: admin, username: 'app', password: secret('two'), present: as('app', 'one') };
        try {
          await expect(engine.dualPassword.addPassword(change, fails, soon())).rejects.toMatchObject({
            code: 'DATABASE_ERROR',
            action: expect.stringContaining('write'),
          });
        } finally {
          await rename(`${folder}-away`, folder);
        }
        expect(await accepted('app', 'one', 'two')).toEqual(['one']);
      });

      test('are rules of every shape, of whichever user', async () => {
        const { addPassword, server } = await start(
          keepsUsersIn,
          'user anyone on nopass ~* &* +@all -@dangerous',
          'user off off >one resetchannels &news:* -@all +get +config|get %R~in:* %W~out:*',
          'user picky on sanitize-payload >one >two >three +@all -debug allkeys allchannels (+set %W~a:* &b) (~c +@read)',
          `user hashed on #${'ab'.repeat(32)} skip-sanitize-payload ~[a-c]?\\* +@read -@slow +select`,
          'user a`b#>c(d on >one',
          ...(id.kind === 'valkey' ? ['user based on >one db=0,3 ~* +@all'] : []),
        );
        const users = async () => {
          const rules = (await server.run('ACL', 'LIST')) as string[];
          const others = rules.filter((rule) => !rule.startsWith('user app '));
          return others.map((rule) => rule.split(' ').sort().join(' ')).sort(); // Redis 7 gives them in any order
        };
        const before = await users();

        await addPassword('app', 'one', 'two');
        expect(await users()).toEqual(before);
        await restart(bench as Bench);

        expect(await users()).toEqual(before);
      });

      test('is the password of "default"', async () => {
        const { setPassword, accepted, server } = await start(keepsUsersIn);
        const { username, password } = server.superuser;

        await setPassword(username, 'two');
        await restart({ ...(bench as Bench), admin: (bench as Bench).as(username, 'two') });

        expect(await accepted(username, password, 'two')).toEqual(['two']);
      });
    });

    test('is a password of "default" that began as requirepass', async () => {
      const { setPassword, accepted, server, as } = await start('config-file', 'requirepass of-the-start');
      const { username, password } = server.superuser;

      await setPassword(username, 'two');
      await restart({ ...(bench as Bench), admin: as(username, 'two') });

      expect(await accepted(username, password, 'of-the-start', 'two')).toEqual(['two']);
    });

    test.each(['acl|list', 'config|rewrite'])(
      'could not be a password where the right to %s is missing: a rehearsal says so, and saves nothing',
      async (lacking) => {
        const { addUser, as, engine, server } = await start('config-file');
        const rights = ['multi', 'exec', 'info', 'acl', 'config'].map((right) => `+${right}`);
        await addUser('rotator', 'one', ...rights, `-${lacking}`);
        const before = await readFile(server.usersFile, 'utf8');

        const change = { acting: as('rotator', 'one'), username: 'app' };
        await expect(engine.rehearse(change, soon())).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(`+${lacking}`),
        });

        await server.run('ACL', 'SETUSER', 'rotator', `+${lacking}`);
        await engine.rehearse(change, soon());
        expect(await readFile(server.usersFile, 'utf8')).toBe(before);
      },
    );

    test('could not be a password where nothing saves users: so it is not set', async () => {
      const { setPassword, accepted } = await start('config-file', 'rename-command CONFIG ""');

      await expect(setPassword('app', 'two')).rejects.toMatchObject({
        code: 'DATABASE_UNSUPPORTED',
        action: expect.stringContaining('aclfile'),
      });

      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });

    test.each([
      ['name', ['a"b'], []],
      ['rules', ['quoted'], ["~it's:*"]],
    ])('is nothing at all where a user has a quote in its %s: so nothing is written', async (_, [name = ''], rules) => {
      const { addUser, admin, engine, setPassword, accepted, server } = await start('config-file');
      await addUser(name, 'one', ...rules);
      const before = await readFile(server.usersFile, 'utf8');
      const refused = { code: 'DATABASE_UNSUPPORTED', message: expect.stringContaining('quote') };

      await expect(engine.rehearse({ acting: admin, username: 'app' }, soon())).rejects.toMatchObject(refused);
      await expect(setPassword('app', 'two')).rejects.toMatchObject(refused);

      expect(await readFile(server.usersFile, 'utf8')).toBe(before);
      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });
  },
);
