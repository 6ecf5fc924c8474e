import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { MARIADB } from '../../../shared/secrets/engine-rules.ts';
import { generatePassword } from '../../../shared/secrets/password.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { expectPrintableToGoRound, SENTINEL, testMysqlFamilyPasswords } from '../mysql-family-passwords.ts';
import { ACCEPTED, type Bench, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('a password on MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(SENTINEL, "INSTALL SONAME 'auth_ed25519'");
  });
  afterAll(() => bench?.server.stop());

  testMysqlFamilyPasswords(() => bench, {
    stored: ['that looks like what ed25519 stores', 'A'.repeat(43)],
    longestName: 128,
    names: [['of 80 characters', 'n'.repeat(80)]],
  });

  describe('by ed25519', () => {
    test('made of anything printable goes round, and the plugin stays', async () => {
      const user = await bench.newUser();
      await bench.run(`ALTER USER ${user} IDENTIFIED VIA ed25519 USING PASSWORD('one')`);

      await expectPrintableToGoRound(bench, user, 20);

      const [account] = await bench.texts(`SHOW CREATE USER ${user}`);
      expect(account).toContain('IDENTIFIED VIA ed25519');
    });
  });

  test('of a user with two plugins is changed in both by an administrator, and by itself in neither', async () => {
    const user = await bench.newUser();
    await bench.run(
      `ALTER USER ${user} IDENTIFIED VIA ed25519 USING PASSWORD('one') OR mysql_native_password USING PASSWORD('one')`,
    );

    await expect(bench.setPassword(user, 'one', 'two')).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    await bench.setByAdmin(user, 'two');

    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
  });

  describe('67: that the server does not take', () => {
    const refused = { code: 'PASSWORD_REJECTED' };

    test('is told apart from everything else, with nothing changed', async () => {
      const pair = await bench.newPair();
      const user = await bench.newUser();
      await bench.run("INSTALL SONAME 'simple_password_check'");
      try {
        await expect(bench.setPassword(user, 'one', 'too-simple')).rejects.toMatchObject(refused);
        await expect(bench.setByAdmin(user, 'too-simple')).rejects.toMatchObject(refused);
        await expect(bench.prepare(pair, 'too-simple')).rejects.toMatchObject(refused);

        expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
        expect(await bench.differences(pair)).toEqual([`${pair.alternate} does not exist`]);
      } finally {
        await bench.run("UNINSTALL SONAME 'simple_password_check'");
      }
    });

    test.each(['ON', 'OFF'])(
      'is not one that its policy is content with; strict_password_validation is %s',
      async (strict) => {
        const pair = await bench.newPair();
        const user = await bench.newUser();
        await bench.run("INSTALL SONAME 'simple_password_check'", `SET GLOBAL strict_password_validation = ${strict}`);
        try {
          await bench.setPassword(user, 'one', 'Not-2-simple');
          await bench.setByAdmin(user, 'Not-3-simple');
          await bench.prepare(pair, 'Not-4-simple');

          expect(await bench.accepted(user, 'one', 'Not-2-simple', 'Not-3-simple')).toEqual(['Not-3-simple']);
          expect(await bench.login(pair.alternate, 'Not-4-simple')).toEqual(ACCEPTED);
        } finally {
          await bench.run("UNINSTALL SONAME 'simple_password_check'", 'SET GLOBAL strict_password_validation = ON');
        }
      },
    );

    test('is told before, rule by rule', async () => {
      const user = await bench.newUser();
      const policy = async () => (await bench.engine.inspect(bench.as(user, 'one'), [], soon())).passwordPolicy;
      expect(await policy()).toEqual(['no plugin judges passwords: any is taken']);
      await bench.run("INSTALL SONAME 'simple_password_check'", "INSTALL SONAME 'password_reuse_check'");
      try {
        expect(await policy()).toEqual([
          expect.stringMatching(/^password_reuse_check refuses/),
          expect.stringMatching(/^simple_password_check counts/),
          'simple_password_check_digits is 1',
          'simple_password_check_letters_same_case is 1',
          'simple_password_check_minimal_length is 8',
          'simple_password_check_other_characters is 1',
          'strict_password_validation is ON',
        ]);
      } finally {
        await bench.run("UNINSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'password_reuse_check'");
      }
    });

    test.each([
      [
        'ON',
        {
          length: 12,
          types: { 'lower case letters': 2, 'upper case letters': 2, digits: 3, 'other characters': 4 },
        },
      ],
      ['OFF', undefined],
    ])('is told before by what can be counted; strict_password_validation is %s', async (strict, needs) => {
      const user = await bench.newUser();
      await bench.run("INSTALL SONAME 'simple_password_check'", `SET GLOBAL strict_password_validation = ${strict}`);
      try {
        const settings = { minimal_length: 12, letters_same_case: 2, digits: 3, other_characters: 4 };
        for (const [name, value] of Object.entries(settings))
          await bench.run(`SET GLOBAL simple_password_check_${name} = ${value}`);
        const { passwordNeeds } = await bench.engine.inspect(bench.as(user, 'one'), [], soon());
        expect(passwordNeeds).toEqual(needs);
      } finally {
        await bench.run("UNINSTALL SONAME 'simple_password_check'", 'SET GLOBAL strict_password_validation = ON');
      }
    });

    test('is one that cracklib guesses, with nothing changed, and never one that Rekey makes', async () => {
      const user = await bench.newUser();
      await bench.run("INSTALL SONAME 'cracklib_password_check'");
      try {
        const { passwordPolicy } = await bench.engine.inspect(bench.as(user, 'one'), [], soon());
        expect(passwordPolicy).toEqual([
          expect.stringMatching(/^cracklib_password_check refuses/),
          'cracklib_password_check_dictionary is /var/cache/cracklib/cracklib_dict',
          'strict_password_validation is ON',
        ]);
        await expect(bench.setPassword(user, 'one', 'elephants1')).rejects.toMatchObject(refused);
        expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
        let present = 'one';
        for (let n = 0; n < 20; n++) {
          const next = generatePassword({ passwordLength: 16, excludeCharacters: '' }, MARIADB).expose();
          await bench.setPassword(user, present, next);
          present = next;
        }
        expect(await bench.login(user, present)).toEqual(ACCEPTED);
      } finally {
        await bench.run("UNINSTALL SONAME 'cracklib_password_check'");
      }
    });

    test('is one of the earlier ones, and not the one in use already: each change may be repeated', async () => {
      const pair = await bench.newPair();
      await bench.run("INSTALL SONAME 'password_reuse_check'");
      try {
        for (let attempt = 1; attempt <= 2; attempt += 1) {
          await bench.setByAdmin(pair.current, 'three');
          await bench.prepare(pair, 'clone');
        }
        await bench.setPassword(pair.current, 'three', 'four');

        await expect(bench.setPassword(pair.current, 'four', 'three')).rejects.toMatchObject(refused);
        await expect(bench.setByAdmin(pair.current, 'three')).rejects.toMatchObject(refused);

        expect(await bench.accepted(pair.current, 'three', 'four')).toEqual(['four']);
        expect(await bench.login(pair.alternate, 'clone')).toEqual(ACCEPTED);
      } finally {
        await bench.run("UNINSTALL SONAME 'password_reuse_check'");
      }
    });
  });

  test('what a wrong login costs: nothing is tried twice', async () => {
    const user = await bench.newUser();
    await bench.run('SET GLOBAL max_password_errors = 2');
    try {
      await expect(bench.setPassword(user, 'wrong', 'two')).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });

      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
      expect(await bench.login(user, 'wrong')).toEqual(WRONG);
    } finally {
      await bench.run('SET GLOBAL max_password_errors = DEFAULT');
    }
  });
});
