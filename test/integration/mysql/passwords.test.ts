import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { SENTINEL, testMysqlFamilyPasswords } from '../mysql-family-passwords.ts';
import { ACCEPTED, account, type Bench, newName, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

const COUNTED = { 'lower case letters': 2, 'upper case letters': 2, digits: 3, 'other characters': 4 };

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('a password on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(SENTINEL);
  });
  afterAll(() => bench?.server.stop());

  testMysqlFamilyPasswords(() => bench, {
    stored: ['that looks like what the server stores', `$A$005$${'a'.repeat(20)}${'b'.repeat(43)}`],
    longestName: 32,
    names: [],
    async add(user, present, password, acting) {
      if (!acting) await bench.mayHaveTwo(user);
      return bench.add(user, present, password, acting);
    },
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
