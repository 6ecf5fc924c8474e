import { expect } from '@jest/globals';
import fc from 'fast-check';
import type { AdministeredPair } from '../../shared/engines/port.ts';
import { anyTurns, drawn } from './drawn-turns.ts';
import { account } from './mysql-family-bench.ts';

const OPTION = ['', ' WITH GRANT OPTION'] as const;
const ADMIN_OPTION = ['', ' WITH ADMIN OPTION'] as const;
const DATABASES = ['app.*', 'orders.*', '`o_d`.*', '`o\\_d`.*', '`o%`.*'] as const;
const OF_DATABASE = [
  'SELECT',
  'INSERT, UPDATE',
  'CREATE, DROP',
  'CREATE VIEW',
  'ALTER ROUTINE, EXECUTE',
  'ALL',
] as const;
const LASTING_TABLES = ['app.ledger', 'orders.t'] as const;
const TABLES = [...LASTING_TABLES, 'orders.swapped'] as const;
const OF_TABLE = ['SELECT', 'INSERT, UPDATE', 'CREATE', 'DELETE, DROP', 'TRIGGER'] as const;
const OF_COLUMN = ['SELECT', 'UPDATE', 'INSERT', 'REFERENCES'] as const;
const COLUMNS = ['id', 'note', 'id, note'] as const;
const ROUTINES = ['PROCEDURE app.p', 'FUNCTION app.f'] as const;
const OF_ROUTINE = ['EXECUTE', 'ALTER ROUTINE', 'EXECUTE, ALTER ROUTINE'] as const;

/** What the statements below speak of; the users may pass on all that the administrator may. */
export const DRAWN_SETUP = (admin: string): readonly string[] => [
  'CREATE DATABASE orders',
  'CREATE TABLE app.ledger (id INT, note TEXT)',
  'CREATE TABLE orders.t (id INT, note TEXT)',
  'CREATE PROCEDURE app.p() SELECT 1',
  'CREATE FUNCTION app.f() RETURNS INT DETERMINISTIC RETURN 1',
  'CREATE USER other',
  'CREATE ROLE clerk',
  'CREATE ROLE auditor',
  'GRANT clerk TO auditor',
  `GRANT ALL ON *.* TO ${admin} WITH GRANT OPTION`,
  `GRANT clerk TO ${admin} WITH ADMIN OPTION`,
  `GRANT auditor TO ${admin} WITH ADMIN OPTION`,
  `GRANT PROXY ON other TO ${admin} WITH GRANT OPTION`,
];

/** @param own what only one of the two servers knows */
export const anyRights = (own: {
  readonly global: readonly [string, ...string[]];
  readonly defaultRole: string;
  readonly options: readonly [string, ...string[]];
}): fc.Arbitrary<string> =>
  fc.oneof(
    drawn`GRANT ${own.global} ON *.* TO ?${OPTION}`,
    drawn`REVOKE ${[...own.global, 'GRANT OPTION']} ON *.* FROM ?`,
    drawn`GRANT ${OF_DATABASE} ON ${DATABASES} TO ?${OPTION}`,
    drawn`REVOKE ${[...OF_DATABASE, 'GRANT OPTION']} ON ${DATABASES} FROM ?`,
    drawn`GRANT ${OF_TABLE} ON ${TABLES} TO ?${OPTION}`,
    drawn`REVOKE ${[...OF_TABLE, 'GRANT OPTION']} ON ${TABLES} FROM ?`,
    // A right on a column cannot be given while there is no such table.
    drawn`GRANT ${OF_COLUMN} (${COLUMNS}) ON ${LASTING_TABLES} TO ?${OPTION}`,
    drawn`REVOKE ${OF_COLUMN} (${COLUMNS}) ON ${LASTING_TABLES} FROM ?`,
    drawn`GRANT ${OF_ROUTINE} ON ${ROUTINES} TO ?${OPTION}`,
    drawn`REVOKE ${[...OF_ROUTINE, 'GRANT OPTION']} ON ${ROUTINES} FROM ?`,
    drawn`GRANT ${['clerk', 'auditor']} TO ?${ADMIN_OPTION}`,
    drawn`REVOKE ${['clerk', 'auditor']} FROM ?`,
    drawn`SET DEFAULT ROLE ${['clerk', 'auditor', 'NONE']} ${[own.defaultRole]} ?`,
    drawn`GRANT PROXY ON other TO ?${OPTION}`,
    drawn`REVOKE PROXY ON other FROM ?`,
    drawn`ALTER USER ? ${['REQUIRE NONE', 'REQUIRE SSL', 'PASSWORD EXPIRE NEVER', ...own.options]}`,
    drawn`${['CREATE TABLE orders.swapped (id INT, note TEXT)', 'DROP TABLE orders.swapped']}`,
  );

interface Bench {
  run(...statements: string[]): Promise<void>;
  newPair(): Promise<AdministeredPair>;
  prepare(pair: AdministeredPair, password: string): Promise<unknown>;
  differences(pair: AdministeredPair): Promise<readonly string[]>;
  grants(user: string): Promise<string[]>;
}

export async function expectEqualAfterEachTurn(bench: Bench, statement: fc.Arbitrary<string>): Promise<void> {
  const property = fc.asyncProperty(anyTurns(statement), async (turns) => {
    let pair = await bench.newPair();
    const equal = async () =>
      expect((await bench.grants(pair.alternate)).sort()).toEqual((await bench.grants(pair.current)).sort());
    for (const [index, { changes, exchange }] of turns.entries()) {
      for (const { of, statement } of changes)
        await bench.run(statement.replace('?', account(pair[of]))).catch(() => {});
      // After some of these statements the servers remember something else than their tables say.
      await bench.run('FLUSH PRIVILEGES');

      await bench.prepare(pair, `password-${index}`);

      expect(await bench.differences(pair)).toEqual([]);
      await equal();
      await bench.run('FLUSH PRIVILEGES');
      await equal();
      if (exchange) pair = { ...pair, current: pair.alternate, alternate: pair.current };
    }
  });
  await fc.assert(property, { numRuns: 8 });
}
