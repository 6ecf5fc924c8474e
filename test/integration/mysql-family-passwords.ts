import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Credentials } from '../../shared/engines/port.ts';
import { eventually } from '../sandbox/eventually.ts';
import { anyName } from './any-name.ts';
import { ACCEPTED, account, type MysqlFamilyBench, newName, soon } from './mysql-family-bench.ts';

/** What a statement that a password or a name brought along would drop. */
export const SENTINEL = 'CREATE TABLE app.sentinel (id INT)';

/** What one of the two servers does in its own way. */
export interface PasswordDialect {
  /** That looks like what the server stores. */
  readonly stored: readonly [what: string, password: string];
  readonly longestName: number;
  /** More names that are taken. */
  readonly names: readonly (readonly [what: string, name: string])[];
  /** Gives a user one more password, where it may have two. */
  readonly add?: (user: string, present: string, password: string, acting?: Credentials) => Promise<unknown>;
}

/** Which passwords and names Rekey takes for both MySQL and MariaDB, after SENTINEL. */
export function testMysqlFamilyPasswords(
  bench: () => MysqlFamilyBench,
  { stored, longestName, names, add }: PasswordDialect,
): void {
  const expectSentinel = () => bench().run('SELECT * FROM app.sentinel');

  describe('29: of any kind goes round', () => {
    test.each<readonly [string, string]>([
      ['of punctuation', `' " \\ % $ { } @ : / ? # &`],
      ['that would end a statement', `'; DROP TABLE app.sentinel; -- `],
      ['that would end a statement where backslashes escape', `\\'; DROP TABLE app.sentinel; -- `],
      ['that ends in a backslash', 'a\\'],
      ['that looks like a placeholder', '%s $1 $$ :name ?'],
      ['that looks like a hash', `*${'0123456789ABCDEF'.repeat(3).slice(0, 40)}`],
      stored,
      ['of 255 characters', 'x'.repeat(255)],
      ['with a space at either end', ' a '],
    ])('%s', async (_, password) => {
      const user = await bench().newUser();
      const pair = { ...(await bench().newPair()), current: user, alternate: `${user}_clone` };
      const other = `${password.slice(1)}2`;

      await bench().setPassword(user, 'one', password);
      expect(await bench().accepted(user, 'one', password)).toEqual([password]);
      await (add ? add(user, password, other) : bench().setByAdmin(user, other));
      expect(await bench().accepted(user, password, other)).toEqual(add ? [password, other] : [other]);
      await bench().setByAdmin(user, password);
      expect(await bench().accepted(user, password, other)).toEqual([password]);
      await bench().prepare(pair, password);
      expect(await bench().login(pair.alternate, password)).toEqual(ACCEPTED);
      await expectSentinel();
    });

    test('made of anything printable, and the sentinel is still there', async () => {
      await expectPrintableToGoRound(bench(), await bench().newUser(), 60);

      await expectSentinel();
    });

    test.each([
      ['with a NUL', 'a\0b'],
      ['with a line end', 'a\nb'],
      ['that is not ASCII', 'café'],
      ['that is empty', ''],
      ['of 256 characters', 'x'.repeat(256)],
    ])('%s is refused, because drivers send it in different ways', async (_, password) => {
      const user = await bench().newUser();
      const refused = { code: 'PASSWORD_REJECTED', retryable: false };

      await expect(bench().setPassword(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(bench().setByAdmin(user, password)).rejects.toMatchObject(refused);
      if (add) await expect(add(user, 'one', password)).rejects.toMatchObject(refused);
      await expect(bench().prepare(await bench().newPair(), password)).rejects.toMatchObject(refused);

      expect(await bench().login(user, 'one')).toEqual(ACCEPTED);
    });

    test('a present password that is not ASCII can be replaced', async () => {
      const user = await bench().newUser();
      await bench().run(`ALTER USER ${user} IDENTIFIED BY 'pässwört-日本'`);

      await bench().setPassword(user, 'pässwört-日本', 'two');

      expect(await bench().accepted(user, 'pässwört-日本', 'two')).toEqual(['two']);
    });
  });

  describe('28: belongs to one user, whatever its name', () => {
    test.each<readonly [string, string]>([
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
      ...names,
    ])('%s', async (_, name) => {
      const neighbours = [name.toLowerCase(), name.toUpperCase(), name.replace(/[%_]/g, 'x')];
      for (const other of new Set(neighbours)) if (other !== name) await bench().newUser('', other);
      await bench().newUser('', name);
      const { admin } = bench();
      const pair = { admin, current: name, alternate: `${name}_clone`, database: 'app' };

      await bench().setPassword(name, 'one', 'two');
      await bench().setByAdmin(name, 'three');
      await add?.(name, 'three', 'four', admin);
      await bench().prepare(pair, 'clone');

      expect(await bench().accepted(name, 'one', 'two', 'three', 'four')).toEqual(add ? ['three', 'four'] : ['three']);
      expect(await bench().login(pair.alternate, 'clone')).toEqual(ACCEPTED);
      expect(await bench().differences(pair)).toEqual([]);
      for (const other of new Set(neighbours))
        if (other !== name) expect(await bench().login(other, 'one')).toEqual(ACCEPTED);
      // The server may see the session of that login for a moment.
      const disable = () => bench().engine.alternatingUsers.disableAlternate(pair, async () => true, soon());
      await eventually('the end of its login', async () => (await disable()).kind === 'disabled');
      await bench().run(...[name, ...neighbours, pair.alternate].map((user) => `DROP USER IF EXISTS ${account(user)}`));
      await expectSentinel();
    });

    test('of any characters, or it is refused', async () => {
      const neighbour = await bench().newUser();
      await fc.assert(
        fc.asyncProperty(anyName(16), async (any) => {
          const name = `${newName()}${any}`;
          if (name.endsWith(' ') || /[\u{10000}-\u{10ffff}]/u.test(name)) {
            await expect(bench().setByAdmin(name, 'two')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
            return;
          }
          const pair = { admin: bench().admin, current: name, alternate: `${name}_clone`, database: 'app' };
          await bench().newUser('', name);

          await bench().setPassword(name, 'one', 'two');
          await bench().prepare(pair, 'clone');

          expect(await bench().accepted(name, 'one', 'two')).toEqual(['two']);
          expect(await bench().login(pair.alternate, 'clone')).toEqual(ACCEPTED);
          expect(await bench().differences(pair)).toEqual([]);
          await bench().run(`DROP USER ${account(name)}, ${account(pair.alternate)}`);
        }),
        { numRuns: 15 },
      );
      expect(await bench().login(neighbour, 'one')).toEqual(ACCEPTED);
      await expectSentinel();
    });

    test.each([
      ['with a NUL', 'app\0root'],
      [`of ${longestName + 1} characters`, 'n'.repeat(longestName + 1)],
      ['with an emoji, which the server would change', 'app🔑'],
      ['with a space at its end, which the server would cut', 'app '],
      ['that is empty', ''],
    ])('%s is refused before anything is sent', async (_, name) => {
      const refused = { code: 'USERNAME_INVALID', retryable: false };

      await expect(bench().login(name, 'one')).rejects.toMatchObject(refused);
      await expect(bench().setByAdmin(name, 'two')).rejects.toMatchObject(refused);
    });

    test('40: one that is too long with its suffix is refused', async () => {
      const current = await bench().newUser('', 'n'.repeat(longestName - 2));
      const pair = { admin: bench().admin, current, alternate: `${current}_clone`, database: 'app' };

      await expect(bench().prepare(pair)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });
  });
}

/** @param user its present password is `one` */
export async function expectPrintableToGoRound(bench: MysqlFamilyBench, user: string, numRuns: number): Promise<void> {
  let present = 'one';
  const property = fc.asyncProperty(
    fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 80 }),
    async (password) => {
      fc.pre(password !== present);
      await bench.setPassword(user, present, password);
      expect(await bench.accepted(user, present, password)).toEqual([password]);
      present = password;
    },
  );
  await fc.assert(property, { numRuns });
}
