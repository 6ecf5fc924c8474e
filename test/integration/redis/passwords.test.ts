import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { anyName } from '../any-name.ts';
import { ACCEPTED, type Bench, secret, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `a password on ${redisName(id)}`,
  (id) => {
    let bench: Bench;
    let count = 0;
    beforeAll(async () => {
      bench = await startBench(id);
      await bench.server.run('SET', 'sentinel', 'there');
    });
    afterAll(() => bench?.server.stop());

    const newUser = async (...rules: string[]) => {
      count += 1;
      const name = `user_${count}`;
      await bench.addUser(name, 'one', ...rules);
      return name;
    };
    const login = (username: string, password: string) => bench.engine.login(bench.as(username, password), soon());
    const discard = (username: string, kept: string, stillWanted = async () => true) =>
      bench.engine.dualPassword.discardOld(
        { acting: bench.admin, kept: bench.as(username, kept) },
        stillWanted,
        soon(),
      );

    describe('29: of any kind goes round', () => {
      test.each([
        ['with quotes', `'"\`\\`],
        ['with what an URL takes apart', '$%{}@:/?#&='],
        ['that looks like a format', '%s $1 $$'],
        ['with a NUL', 'a\0b'],
        ['with line ends', 'a\r\nPING\r\nb'],
        ['that is not ASCII, composed', 'caf\u00e9'],
        ['that is not ASCII, decomposed', 'cafe\u0301'],
        ['of 512 characters', 'x'.repeat(512)],
        ['that looks like a rule', 'nopass'],
        ['that looks like a hash', `#${'ab'.repeat(32)}`],
        ['with a space at its end', 'pass '],
      ])('%s', async (_, password) => {
        const user = await newUser();

        await bench.setPassword(user, password);

        expect(await login(user, password)).toEqual(ACCEPTED);
        expect(await login(user, `${password}x`)).toEqual(WRONG);
        expect(await login(user, 'one')).toEqual(WRONG);
      });

      test('made of anything, and everything else is still there', async () => {
        const user = await newUser();
        let present = 'one';

        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1, maxLength: 80 }), async (password) => {
            fc.pre(password !== present);
            await bench.addPassword(user, present, password);
            expect(await bench.accepted(user, present, password)).toEqual([present, password]);
            await discard(user, password);
            expect(await bench.accepted(user, present, password)).toEqual([password]);
            present = password;
          }),
          { numRuns: 20 },
        );

        expect(await bench.server.run('GET', 'sentinel')).toBe('there');
      });
    });

    describe('28: belongs to one user, whatever its name', () => {
      test.each([
        ['with quotes', `a"b'c`],
        ['with a backtick and a bracket', 'a`]b'],
        ['with a hash in front', '#user'],
        ['with a rule in front', '>user'],
        ['with an emoji', 'app🔑'],
        ['with a right-to-left mark', 'a\u200Fb'],
        ['with a backslash', 'a\\b'],
        ['in upper case', 'APP'],
        ['of 200 bytes', 'ä'.repeat(100)],
      ])('%s', async (_, name) => {
        await bench.addUser(name, 'one');
        const other = await newUser();

        await bench.addPassword(name, 'one', 'two');
        await bench.setPassword(name, 'three');

        expect(await bench.accepted(name, 'one', 'two', 'three')).toEqual(['three']);
        expect(await login(other, 'one')).toEqual(ACCEPTED);
      });

      test('of any characters, or it is refused', async () => {
        const neighbour = await newUser();
        await fc.assert(
          fc.asyncProperty(anyName(100), async (any) => {
            count += 1;
            const name = `any_${count}${any}`;
            if (/\s/.test(name)) {
              await expect(bench.setPassword(name, 'two')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
              return;
            }
            await bench.addUser(name, 'one');

            await bench.addPassword(name, 'one', 'two');
            expect(await bench.accepted(name, 'one', 'two')).toEqual(['one', 'two']);
            await bench.setPassword(name, 'three');

            expect(await bench.accepted(name, 'one', 'two', 'three')).toEqual(['three']);
            await bench.server.run('ACL', 'DELUSER', name);
          }),
          { numRuns: 20 },
        );
        expect(await login(neighbour, 'one')).toEqual(ACCEPTED);
        expect(await bench.server.run('GET', 'sentinel')).toBe('there');
      });

      test.each([
        ['with a NUL', 'app\0on'],
        ['with a blank', 'app on'],
        ['with a line end', 'app\r\nPING'],
        ['that is empty', ''],
      ])('%s is refused before anything is sent', async (_, name) => {
        const refused = { code: 'USERNAME_INVALID', retryable: false };

        await expect(login(name, 'one')).rejects.toMatchObject(refused);
        await expect(bench.setPassword(name, 'two')).rejects.toMatchObject(refused);
        await expect(bench.setPassword('app', 'two', bench.as(name, 'one'))).rejects.toMatchObject(refused);
      });
    });

    test('meets no rule of the server, and a preflight says so', async () => {
      const { passwordPolicy } = await bench.engine.inspect(bench.admin, [], soon());

      expect(passwordPolicy).toEqual([expect.stringMatching(/^Redis and Valkey have no rules for passwords/)]);
    });

    test('of a user that is not there is refused, and no user is made', async () => {
      await expect(bench.setPassword('nobody', 'two')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });

      expect(await bench.server.run('ACL', 'GETUSER', 'nobody')).toBeNull();
    });

    test('leaves the rest of the user as it was', async () => {
      const user = await newUser('~orders:*', '&news', '+@read', '-hgetall', '(+set ~own:*)');
      const rest = async () => {
        const shown = (await bench.server.run('ACL', 'GETUSER', user)) as { passwords?: unknown };
        return { ...shown, passwords: undefined };
      };
      const before = await rest();

      await bench.addPassword(user, 'one', 'two');
      await discard(user, 'two');
      await bench.setPassword(user, 'three');

      expect(await rest()).toEqual(before);
    });

    test('100: that goes does not end the sessions that began with it', async () => {
      const user = await newUser('+ping');
      const session = await bench.server.connect({ username: user, password: 'one' });
      try {
        await bench.setPassword(user, 'two');

        expect(await session.sendCommand(['PING'])).toBe('PONG');
      } finally {
        session.destroy();
      }
    });

    test('of a user that is switched off can be changed, and the user stays off', async () => {
      const user = await newUser('off');

      await bench.setPassword(user, 'two');

      expect(await login(user, 'two')).toEqual(WRONG);
      expect(await bench.engine.login(bench.as(user, 'two'), soon(), async () => bench.admin)).toEqual({
        kind: 'refused',
        reason: 'locked',
      });
    });

    test('cannot be changed for a user that needs none, and nothing is changed', async () => {
      const user = await newUser('nopass');

      await expect(bench.setPassword(user, 'two')).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      await expect(bench.addPassword(user, 'one', 'two')).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });

      expect(await login(user, 'anything')).toEqual(ACCEPTED);
    });

    test.each(['multi', 'exec', 'info', 'acl|getuser', 'acl|setuser', 'acl|save'])(
      'is not rehearsed without the right to %s, and nothing is changed by looking',
      async (lacking) => {
        const rights = ['multi', 'exec', 'info', 'acl|getuser', 'acl|setuser', 'acl|save'];
        const user = await newUser(...rights.filter((right) => right !== lacking).map((right) => `+${right}`));
        const before = await bench.server.run('ACL', 'LIST');
        const change = { acting: bench.as(user, 'one'), username: user };

        await expect(bench.engine.rehearse(change, soon())).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(`+${lacking}`),
        });

        expect(await bench.server.run('ACL', 'LIST')).toEqual(before);
      },
    );

    test('of a user that is not there is not rehearsed, and nobody is made by it', async () => {
      const before = await bench.server.run('ACL', 'LIST');
      const missing = { acting: bench.admin, username: 'not_there' };

      await expect(bench.engine.rehearse(missing, soon())).rejects.toMatchObject({ code: 'USERNAME_INVALID' });

      expect(await bench.server.run('ACL', 'LIST')).toEqual(before);
    });

    test('is changed by one who has just the rights that the refusal names', async () => {
      const [user, rotator] = [await newUser(), await newUser()];
      const acting = bench.as(rotator, 'one');
      const refusal = await bench.setPassword(user, 'two', acting).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: 'PRIVILEGE_MISSING', message: expect.stringContaining(rotator) });
      expect(await login(user, 'one')).toEqual(ACCEPTED);

      const [, statement = ''] = /Run: (ACL SETUSER [^(]+) \(/.exec((refusal as { action: string }).action) ?? [];
      await bench.server.run(...statement.split(' '));

      await bench.setPassword(user, 'two', acting);
      expect(await login(user, 'two')).toEqual(ACCEPTED);
    });

    test('is refused to one with a quote in its name in words that redis-cli takes for that name', async () => {
      const [user, rotator] = [await newUser(), `say"it's\\`];
      await bench.addUser(rotator, 'one');

      await expect(bench.setPassword(user, 'two', bench.as(rotator, 'one'))).rejects.toMatchObject({
        action: expect.stringContaining(String.raw`Run: ACL SETUSER "say\"it's\\" +multi `),
      });
    });

    const RIGHTS = ['+multi', '+exec', '+info', '+acl|getuser', '+acl|setuser', '+acl|save'];
    test.each(RIGHTS)('is not changed by one who lacks %s alone', async (right) => {
      const [user, rotator] = [await newUser(), await newUser(...RIGHTS.filter((each) => each !== right))];

      for (const change of [
        () => bench.setPassword(user, 'two', bench.as(rotator, 'one')),
        () => bench.addPassword(user, 'one', 'two', bench.as(rotator, 'one')),
      ])
        await expect(change()).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });

    describe('that is added while an old one is discarded', () => {
      test('survives', async () => {
        const user = await newUser();
        await bench.addPassword(user, 'one', 'two');

        const outcome = await discard(user, 'two', async () => {
          await bench.server.run('ACL', 'SETUSER', user, '>three');
          return true;
        });

        expect(outcome).toBe('discarded');
        expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
      });

      test('survives where it took the place of the old one, and the discarding is asked about anew', async () => {
        const user = await newUser();
        await bench.addPassword(user, 'one', 'two');
        const answers = [true, false];

        const outcome = await discard(user, 'two', async () => {
          await bench.addPassword(user, 'two', 'three');
          return answers.shift() ?? false;
        });

        expect(outcome).toBe('notWanted');
        expect(answers).toEqual([]);
        expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
      });
    });

    test('that goes by another hand in between is not counted on: the others stay', async () => {
      const user = await newUser();
      await bench.addPassword(user, 'one', 'two');

      const goes = async () => {
        await bench.server.run('ACL', 'SETUSER', user, '<two');
        return true;
      };
      await expect(discard(user, 'two', goes)).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });

    test('of a user that goes in between is not added, and the user is not made again', async () => {
      const user = await newUser();
      const change = { acting: bench.admin, username: user, password: secret('two'), present: bench.as(user, 'one') };
      const goes = async () => (await bench.server.run('ACL', 'DELUSER', user)) === 1;

      await expect(bench.engine.dualPassword.addPassword(change, goes, soon())).rejects.toMatchObject({
        code: 'USERNAME_INVALID',
      });

      expect(await bench.server.run('ACL', 'GETUSER', user)).toBeNull();
    });

    test('that is not the user’s is kept for nothing: neither is another added to it, nor the others discarded', async () => {
      const user = await newUser();
      const refused = { code: 'LOGIN_REFUSED', message: expect.stringContaining(user) };

      await expect(bench.addPassword(user, 'never', 'two')).rejects.toMatchObject(refused);
      await expect(discard(user, 'never')).rejects.toMatchObject(refused);

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });

    test('added by several at once, each another one, is never in the place of the present one', async () => {
      const user = await newUser();
      await bench.addPassword(user, 'one', 'two');
      await discard(user, 'two');

      await Promise.all(['a', 'b', 'c', 'd'].map((each) => bench.addPassword(user, 'two', each)));

      expect(await bench.accepted(user, 'two')).toEqual(['two']);
    });
  },
);
