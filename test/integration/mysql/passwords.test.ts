import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { anyName } from '../any-name.ts';
import { ACCEPTED, account, type Bench, newName, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

const COUNTED = { 'lower case letters': 2, 'upper case letters': 2, digits: 3, 'other characters': 4 };

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('a password on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run('CREATE TABLE app.sentinel (id INT)');
  });
  afterAll(() => bench?.server.stop());

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
      const user = await bench.newUser();
      await bench.mayHaveTwo(user);
      const pair = { ...(await bench.newPair()), current: user, alternate: `${user}_clone` };

      await bench.setPassword(user, 'one', password);
      expect(await bench.accepted(user, 'one', password)).toEqual([password]);
      await bench.add(user, password, `${password.slice(1)}2`);
      expect(await bench.accepted(user, password, `${password.slice(1)}2`)).toHaveLength(2);
      await bench.setByAdmin(user, password);
      expect(await bench.accepted(user, password, `${password.slice(1)}2`)).toEqual([password]);
      await bench.prepare(pair, password);
      expect(await bench.login(pair.alternate, password)).toEqual(ACCEPTED);
      await bench.run('SELECT * FROM app.sentinel');
    });

    test('made of anything printable, and the sentinel is still there', async () => {
      const user = await bench.newUser();
      let present = 'one';

      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 80 }), async (password) => {
          fc.pre(password !== present);
          await bench.setPassword(user, present, password);
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
      const user = await bench.newUser();
      const refused = { code: 'PASSWORD_REJECTED', retryable: false };

      await expect(bench.setPassword(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(bench.setByAdmin(user, password)).rejects.toMatchObject(refused);
      await expect(bench.add(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(bench.prepare(await bench.newPair(), password)).rejects.toMatchObject(refused);

      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    });

    test('a present password that is not ASCII can be replaced', async () => {
      const user = await bench.newUser();
      await bench.run(`ALTER USER ${user} IDENTIFIED BY 'pässwört-日本'`);

      await bench.setPassword(user, 'pässwört-日本', 'two');

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
      for (const other of new Set(neighbours)) if (other !== name) await bench.newUser('', other);
      await bench.newUser('', name);
      const pair = { admin: bench.admin, current: name, alternate: `${name}_clone`, database: 'app' };

      await bench.setPassword(name, 'one', 'two');
      await bench.setByAdmin(name, 'three');
      await bench.add(name, 'three', 'four', bench.admin);
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

    test('of any characters, or it is refused', async () => {
      const neighbour = await bench.newUser();
      await fc.assert(
        fc.asyncProperty(anyName(16), async (any) => {
          const name = `${newName()}${any}`;
          if (name.endsWith(' ') || /[\u{10000}-\u{10ffff}]/u.test(name)) {
            await expect(bench.setByAdmin(name, 'two')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
            return;
          }
          const pair = { admin: bench.admin, current: name, alternate: `${name}_clone`, database: 'app' };
          await bench.newUser('', name);

          await bench.setPassword(name, 'one', 'two');
          await bench.prepare(pair, 'clone');

          expect(await bench.accepted(name, 'one', 'two')).toEqual(['two']);
          expect(await bench.login(pair.alternate, 'clone')).toEqual(ACCEPTED);
          expect(await bench.differences(pair)).toEqual([]);
          await bench.run(`DROP USER ${account(name)}, ${account(pair.alternate)}`);
        }),
        { numRuns: 15 },
      );
      expect(await bench.login(neighbour, 'one')).toEqual(ACCEPTED);
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
      await expect(bench.setByAdmin(name, 'two')).rejects.toMatchObject(refused);
    });

    test('40: one that is too long with its suffix is refused', async () => {
      const current = await bench.newUser('', 'n'.repeat(30));
      const pair = { admin: bench.admin, current, alternate: `${current}_clone`, database: 'app' };

      await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });
  });

  describe('67: that the server does not take', () => {
    test('is told apart from everything else, with nothing changed', async () => {
      const pair = await bench.newPair();
      const user = await bench.newUser();
      await bench.mayHaveTwo(user);
      await bench.run("INSTALL COMPONENT 'file://component_validate_password'");
      try {
        const refused = { code: 'PASSWORD_REJECTED', message: expect.stringContaining('validate_password') };

        await expect(bench.setPassword(user, 'one', 'too-simple')).rejects.toMatchObject(refused);
        await expect(bench.setByAdmin(user, 'too-simple')).rejects.toMatchObject(refused);
        await expect(bench.add(user, 'one', 'too-simple')).rejects.toMatchObject(refused);
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

    test.each([
      ['LOW', { length: 12, types: {} }],
      ['MEDIUM', { length: 12, types: COUNTED }],
      ['STRONG', { length: 12, types: COUNTED }],
    ])('is told before by what can be counted; validate_password.policy is %s', async (policy, needs) => {
      const user = await bench.newUser();
      const inspected = () => bench.engine.inspect(bench.as(user, 'one'), [], soon());
      expect((await inspected()).passwordNeeds).toBeUndefined();
      await bench.run("INSTALL COMPONENT 'file://component_validate_password'");
      try {
        const settings = {
          policy: `'${policy}'`,
          length: 12,
          mixed_case_count: 2,
          number_count: 3,
          special_char_count: 4,
        };
        for (const [name, value] of Object.entries(settings))
          await bench.run(`SET GLOBAL validate_password.${name} = ${value}`);
        expect((await inspected()).passwordNeeds).toEqual(needs);
      } finally {
        await bench.run("UNINSTALL COMPONENT 'file://component_validate_password'");
      }
    });

    test('has too many characters of the present one; one that has few may be given again, and the older discarded', async () => {
      const user = newName();
      await bench.run(`CREATE USER ${account(user)} IDENTIFIED BY 'abcdefgh1'`);
      await bench.mayHaveTwo(user);
      await bench.run(
        "INSTALL COMPONENT 'file://component_validate_password'",
        'SET GLOBAL validate_password.policy = LOW',
        'SET GLOBAL validate_password.changed_characters_percentage = 50',
      );
      try {
        const refused = {
          code: 'PASSWORD_REJECTED',
          action: expect.stringContaining('validate_password.changed_characters_percentage'),
        };
        await expect(bench.setPassword(user, 'abcdefgh1', 'abcdefgh2')).rejects.toMatchObject(refused);
        await expect(bench.add(user, 'abcdefgh1', 'abcdefgh2')).rejects.toMatchObject(refused);
        expect(await bench.accepted(user, 'abcdefgh1', 'abcdefgh2')).toEqual(['abcdefgh1']);

        expect(await bench.add(user, 'abcdefgh1', 'zyxwvuts0')).toBe('added');
        expect(await bench.add(user, 'abcdefgh1', 'zyxwvuts0')).toBe('alreadyAdded');
        expect(await bench.accepted(user, 'abcdefgh1', 'zyxwvuts0')).toEqual(['abcdefgh1', 'zyxwvuts0']);
        expect(await bench.discard(user, 'zyxwvuts0')).toBe('discarded');
        expect(await bench.accepted(user, 'abcdefgh1', 'zyxwvuts0')).toEqual(['zyxwvuts0']);
      } finally {
        await bench.run("UNINSTALL COMPONENT 'file://component_validate_password'");
      }
    });

    test('is one of the earlier ones', async () => {
      const user = await bench.newUser('PASSWORD HISTORY 3');
      await bench.setPassword(user, 'one', 'two');
      const refused = { code: 'PASSWORD_REJECTED', message: expect.stringContaining('earlier') };

      await expect(bench.setPassword(user, 'two', 'one')).rejects.toMatchObject(refused);
      await expect(bench.setByAdmin(user, 'one')).rejects.toMatchObject(refused);

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
    });

    test('is not the one in use already: with a history, each change may be repeated', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} PASSWORD HISTORY 3`);

      for (let attempt = 1; attempt <= 2; attempt += 1) {
        await bench.setByAdmin(pair.current, 'three');
        await bench.prepare(pair, 'clone');
      }
      await bench.engine.alternatingUsers.disableAlternate(pair, async () => true, soon());
      await bench.prepare(pair, 'clone');

      expect(await bench.login(pair.current, 'three')).toEqual(ACCEPTED);
      expect(await bench.login(pair.alternate, 'clone')).toEqual(ACCEPTED);
    });
  });

  test('a user that must name its present password to change it does so', async () => {
    const user = await bench.newUser('PASSWORD REQUIRE CURRENT');
    await bench.mayHaveTwo(user);

    await bench.setPassword(user, 'one', 'two');
    await bench.add(user, 'two', 'three');

    expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
  });

  test('what a wrong login costs: nothing is tried twice', async () => {
    const user = await bench.newUser('FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED');

    await expect(bench.setPassword(user, 'wrong', 'two')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

    expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    expect(await bench.login(user, 'wrong')).toEqual(WRONG);
  });
});
