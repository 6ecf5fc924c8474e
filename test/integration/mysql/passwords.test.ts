import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { ACCEPTED, account, type Bench, newName, secret, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('a password on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run('CREATE TABLE app.sentinel (id INT)');
  });
  afterAll(() => bench?.server.stop());

  async function newUser(options = '', name = newName()): Promise<string> {
    await bench.run(`CREATE USER ${account(name)} IDENTIFIED BY 'one' ${options}`);
    return name;
  }
  const setPassword = (username: string, present: string, password: string) =>
    bench.engine.setPassword({ acting: bench.as(username, present), username, password: secret(password) }, soon());
  const setByAdmin = (username: string, password: string) =>
    bench.engine.setPassword({ acting: bench.admin, username, password: secret(password) }, soon());
  const add = (username: string, present: string, password: string, acting = bench.as(username, present)) =>
    bench.engine.dualPassword.addPassword(
      { acting, username, password: secret(password), present: bench.as(username, present) },
      soon(),
    );
  const discard = (username: string, kept: string, acting = bench.as(username, kept)) =>
    bench.engine.dualPassword.discardOld({ acting, kept: bench.as(username, kept) }, async () => true, soon());
  const mayHaveTwo = (username: string) => bench.run(`GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${account(username)}`);

  describe('29: of any kind goes round', () => {
    test.each([
      ['of punctuation', `' " \\ % $ { } @ : / ? # &`],
      ['that would end a statement', `'; DROP TABLE app.sentinel; -- `],
      ['that would end a statement where backslashes escape', `\\'; DROP TABLE app.sentinel; -- `],
      ['that ends in a backslash', 'a\\'],
      ['that looks like a placeholder', '%s $1 $$ :name ?'],
      ['that looks like a hash', `*${'0123456789ABCDEF'.repeat(3).slice(0, 40)}`],
      ['that looks like what the server stores', `$A$005$${'a'.repeat(20)}${'b'.repeat(43)}`],
      ['of 255 characters', 'x'.repeat(255)],
      ['with a space at either end', ' a '],
    ])('%s', async (_, password) => {
      const user = await newUser();
      await mayHaveTwo(user);
      const pair = { ...(await bench.newPair()), current: user, alternate: `${user}_clone` };

      await setPassword(user, 'one', password);
      expect(await bench.accepted(user, 'one', password)).toEqual([password]);
      await add(user, password, `${password.slice(1)}2`);
      expect(await bench.accepted(user, password, `${password.slice(1)}2`)).toHaveLength(2);
      await setByAdmin(user, password);
      expect(await bench.accepted(user, password, `${password.slice(1)}2`)).toEqual([password]);
      await bench.prepare(pair, password);
      expect(await bench.login(pair.alternate, password)).toEqual(ACCEPTED);
      await bench.run('SELECT * FROM app.sentinel');
    });

    test('made of anything printable, and the sentinel is still there', async () => {
      const user = await newUser();
      let present = 'one';

      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 80 }), async (password) => {
          fc.pre(password !== present);
          await setPassword(user, present, password);
          expect(await bench.accepted(user, present, password)).toEqual([password]);
          present = password;
        }),
        { numRuns: 60 },
      );

      await bench.run('SELECT * FROM app.sentinel');
    });

    test.each([
      ['with a NUL', 'a\0b'],
      ['with a line end', 'a\nb'],
      ['that is not ASCII', 'café'],
      ['that is empty', ''],
      ['of 256 characters', 'x'.repeat(256)],
    ])('%s is refused, because drivers send it in different ways', async (_, password) => {
      const user = await newUser();
      const refused = { code: 'PASSWORD_REJECTED', retryable: false };

      await expect(setPassword(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(setByAdmin(user, password)).rejects.toMatchObject(refused);
      await expect(add(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(bench.prepare(await bench.newPair(), password)).rejects.toMatchObject(refused);

      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    });

    test('a present password that is not ASCII can be replaced', async () => {
      const user = await newUser();
      await bench.run(`ALTER USER ${user} IDENTIFIED BY 'pässwört-日本'`);

      await setPassword(user, 'pässwört-日本', 'two');

      expect(await bench.accepted(user, 'pässwört-日本', 'two')).toEqual(['two']);
    });
  });

  describe('28: belongs to one user, whatever its name', () => {
    test.each([
      ['with quotes', `a"b'c`],
      ['with a backtick', 'a`b'],
      ['that would end a statement', `x\`; DROP TABLE app.t; --`],
      ['with an at sign', 'a@b@%'],
      ['with a right-to-left mark', 'a\u200Fb'],
      ['that is not ASCII', 'ünïcöde-日本'],
      ['in upper case', 'App'],
      ['with a backslash', 'a\\b'],
      ['with a percent sign and an underscore', 'a%_b'],
      ['that is a keyword', 'select'],
    ])('%s', async (_, name) => {
      const neighbours = [name.toLowerCase(), name.toUpperCase(), name.replace(/[%_]/g, 'x')];
      for (const other of new Set(neighbours)) if (other !== name) await newUser('', other);
      await newUser('', name);
      const pair = { admin: bench.admin, current: name, alternate: `${name}_clone`, database: 'app' };

      await setPassword(name, 'one', 'two');
      await setByAdmin(name, 'three');
      await add(name, 'three', 'four', bench.admin);
      await bench.prepare(pair, 'clone');

      expect(await bench.accepted(name, 'one', 'two', 'three', 'four')).toEqual(['three', 'four']);
      expect(await bench.login(pair.alternate, 'clone')).toEqual(ACCEPTED);
      expect(await bench.differences(pair)).toEqual([]);
      for (const other of new Set(neighbours))
        if (other !== name) expect(await bench.login(other, 'one')).toEqual(ACCEPTED);
      expect(await bench.engine.alternatingUsers.disableAlternate(pair, async () => true, soon())).toEqual({
        kind: 'disabled',
      });
      await bench.run(...[name, ...neighbours, pair.alternate].map((user) => `DROP USER IF EXISTS ${account(user)}`));
      await bench.run('SELECT * FROM app.sentinel');
    });

    test.each([
      ['with a NUL', 'app\0root'],
      ['of 33 characters', 'n'.repeat(33)],
      ['with an emoji, which the server would change', 'app🔑'],
      ['with a space at its end, which the server would cut', 'app '],
      ['that is empty', ''],
    ])('%s is refused before anything is sent', async (_, name) => {
      const refused = { code: 'USERNAME_INVALID', retryable: false };

      await expect(bench.login(name, 'one')).rejects.toMatchObject(refused);
      await expect(setByAdmin(name, 'two')).rejects.toMatchObject(refused);
    });

    test('40: one that is too long with its suffix is refused', async () => {
      const current = await newUser('', 'n'.repeat(30));
      const pair = { admin: bench.admin, current, alternate: `${current}_clone`, database: 'app' };

      await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });
  });

  describe('67: that the server does not take', () => {
    test('is told apart from everything else, with nothing changed', async () => {
      const pair = await bench.newPair();
      const user = await newUser();
      await mayHaveTwo(user);
      await bench.run("INSTALL COMPONENT 'file://component_validate_password'");
      try {
        const refused = { code: 'PASSWORD_REJECTED', message: expect.stringContaining('validate_password') };

        await expect(setPassword(user, 'one', 'too-simple')).rejects.toMatchObject(refused);
        await expect(setByAdmin(user, 'too-simple')).rejects.toMatchObject(refused);
        await expect(add(user, 'one', 'too-simple')).rejects.toMatchObject(refused);
        await expect(bench.prepare(pair, 'too-simple')).rejects.toMatchObject(refused);

        expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
        expect(await bench.differences(pair)).toEqual([`${pair.alternate} does not exist`]);
        const { passwordPolicy } = await bench.engine.inspect(bench.as(user, 'one'), [], soon());
        expect(passwordPolicy).toEqual(
          expect.arrayContaining(['validate_password.length is 8', 'validate_password.policy is MEDIUM']),
        );
      } finally {
        await bench.run("UNINSTALL COMPONENT 'file://component_validate_password'");
      }
    });

    test('is one of the earlier ones', async () => {
      const user = await newUser('PASSWORD HISTORY 3');
      await setPassword(user, 'one', 'two');
      const refused = { code: 'PASSWORD_REJECTED', message: expect.stringContaining('earlier') };

      await expect(setPassword(user, 'two', 'one')).rejects.toMatchObject(refused);
      await expect(setByAdmin(user, 'one')).rejects.toMatchObject(refused);

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
    });

    test('is not the one in use already: with a history, each change may be repeated', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} PASSWORD HISTORY 3`);

      for (let attempt = 1; attempt <= 2; attempt += 1) {
        await setByAdmin(pair.current, 'three');
        await bench.prepare(pair, 'clone');
      }
      await bench.engine.alternatingUsers.disableAlternate(pair, async () => true, soon());
      await bench.prepare(pair, 'clone');

      expect(await bench.login(pair.current, 'three')).toEqual(ACCEPTED);
      expect(await bench.login(pair.alternate, 'clone')).toEqual(ACCEPTED);
    });
  });

  test('a user that must name its present password to change it does so', async () => {
    const user = await newUser('PASSWORD REQUIRE CURRENT');
    await mayHaveTwo(user);

    await setPassword(user, 'one', 'two');
    await add(user, 'two', 'three');

    expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
  });

  describe('of two', () => {
    /** A rotation that was abandoned: the password in use is the older of two. */
    async function abandoned(options = ''): Promise<string> {
      const user = await newUser(options);
      await mayHaveTwo(user);
      await add(user, 'one', 'abandoned');
      return user;
    }

    test.each(['the user itself', 'an administrator'])('the older goes on when %s adds a third', async (who) => {
      const user = await abandoned();

      expect(await add(user, 'one', 'three', who === 'an administrator' ? bench.admin : undefined)).toBe('added');

      expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['one', 'three']);
    });

    test.each(['the user itself', 'an administrator'])('the older is kept when %s discards the other', async (who) => {
      const user = await abandoned();

      expect(await discard(user, 'one', who === 'an administrator' ? bench.admin : undefined)).toBe('discarded');

      expect(await bench.accepted(user, 'one', 'abandoned')).toEqual(['one']);
    });

    test('the newer is replaced, and the older goes too, when the user that logged in with the older sets one', async () => {
      const user = await abandoned();

      await setPassword(user, 'one', 'three');

      expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['three']);
    });

    test('both go when an administrator sets one', async () => {
      const user = await abandoned();

      await setByAdmin(user, 'three');

      expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['three']);
    });

    test('none is pushed out by repeating, over the older login or the newer, with a history of passwords or without', async () => {
      for (const options of ['', 'PASSWORD HISTORY 5']) {
        const user = await abandoned(options);

        expect(await add(user, 'one', 'abandoned')).toBe('alreadyAdded');
        expect(await add(user, 'one', 'abandoned', bench.admin)).toBe('alreadyAdded');

        expect(await bench.accepted(user, 'one', 'abandoned')).toEqual(['one', 'abandoned']);
      }
    });

    test('the older is found out with a history of passwords as well', async () => {
      const user = await newUser('PASSWORD HISTORY 5');
      await mayHaveTwo(user);
      await add(user, 'one', 'two');

      expect(await discard(user, 'two')).toBe('discarded');

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
    });

    test('an earlier password is refused, and neither is pushed out', async () => {
      const user = await newUser('PASSWORD HISTORY 5');
      await mayHaveTwo(user);
      await setPassword(user, 'one', 'two');
      await add(user, 'two', 'three');

      await expect(add(user, 'three', 'one')).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });

      expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
    });

    test('neither is touched where policies hide which is the older', async () => {
      const user = await newUser('PASSWORD HISTORY 5');
      await mayHaveTwo(user);
      await add(user, 'one', 'Two-is-2-good');
      await bench.run("INSTALL COMPONENT 'file://component_validate_password'");
      try {
        await expect(discard(user, 'Two-is-2-good')).rejects.toMatchObject({ code: 'DATABASE_UNSUPPORTED' });
        expect(await bench.accepted(user, 'one', 'Two-is-2-good')).toHaveLength(2);

        expect(await discard(user, 'Two-is-2-good', bench.admin)).toBe('discarded');
        expect(await bench.accepted(user, 'one', 'Two-is-2-good')).toEqual(['Two-is-2-good']);
      } finally {
        await bench.run("UNINSTALL COMPONENT 'file://component_validate_password'");
      }
    });

    test('one that the server does not know is no present password, and nothing changes', async () => {
      const user = await newUser();
      const refused = { code: 'LOGIN_REFUSED', message: expect.stringContaining(user) };

      await expect(add(user, 'wrong', 'two', bench.admin)).rejects.toMatchObject(refused);
      await expect(discard(user, 'wrong', bench.admin)).rejects.toMatchObject(refused);

      expect(await bench.accepted(user, 'one', 'wrong', 'two')).toEqual(['one']);
    });

    test('a user without the right gets none, and is told the statement', async () => {
      const user = await newUser();

      expect(await bench.engine.dualPassword.mayKeepOld(bench.as(user, 'one'), soon())).toBe(false);
      await expect(add(user, 'one', 'two')).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${account(user)};`,
      });

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });

    test('a right by way of a role that is no default role is enough', async () => {
      const [user, role] = [await newUser(), newName()];
      await bench.run(
        `CREATE ROLE ${role}`,
        `GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${role}`,
        `GRANT ${role} TO ${user}`,
      );

      expect(await bench.engine.dualPassword.mayKeepOld(bench.as(user, 'one'), soon())).toBe(true);
      expect(await add(user, 'one', 'two')).toBe('added');
    });

    test('no account of the user is changed when one of them does not know the present password', async () => {
      const user = await newUser();
      await bench.run(`CREATE USER ${account(user, '10.%')} IDENTIFIED BY 'other'`);

      await expect(add(user, 'one', 'two', bench.admin)).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });

    test('whoever adds and discards at the same moment never loses the password in use', async () => {
      const user = await newUser();
      await mayHaveTwo(user);
      await add(user, 'one', 'two');
      let asked = () => {};
      const inside = new Promise<void>((resolve) => {
        asked = resolve;
      });
      let answer = (_: boolean) => {};
      const stillWanted = () => {
        asked();
        return new Promise<boolean>((resolve) => {
          answer = resolve;
        });
      };
      const retiring = bench.engine.dualPassword.discardOld(
        { acting: bench.as(user, 'two'), kept: bench.as(user, 'two') },
        stillWanted,
        soon(),
      );
      await inside;
      const adding = add(user, 'two', 'three');
      answer(true);

      expect(await Promise.all([retiring, adding])).toEqual(['discarded', 'added']);
      expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
    });
  });

  test('what a wrong login costs: nothing is tried twice', async () => {
    const user = await newUser('FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED');

    await expect(setPassword(user, 'wrong', 'two')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

    expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    expect(await bench.login(user, 'wrong')).toEqual(WRONG);
  });
});
