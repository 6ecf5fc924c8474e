import type { Snapshot } from './postgres-catalog.ts';
import { type Connection, quoteIdentifier } from './postgres-connection.ts';
import { ServerRefusal } from './postgres-errors.ts';
import type { Step } from './postgres-rights.ts';

/** Who carries steps out, and what it has lent itself before. */
export type Actor = Pick<Snapshot, 'admin' | 'adminMemberships' | 'membershipOptions'>;

/**
 * All steps in one round trip; only if that is refused one by one, to learn which.
 * @returns the statements to run where the administrator may not; empty when it is done
 */
export async function carryOut(
  connection: Connection,
  actor: Actor,
  steps: readonly Step[],
): Promise<readonly string[]> {
  if (steps.length === 0) return [];
  const loans = loansFor(actor, steps);
  const statements = steps.map((step) => ({ ...step, sql: actAs(step) }));
  const all = [
    ...loans.map(({ borrow }) => borrow),
    ...statements.map(({ sql }) => sql),
    ...loans.map(({ giveBack }) => giveBack),
  ];
  if (await permitted(connection, all)) return [];

  const missing = new Set<string>();
  const borrowed: Loan[] = []; // where one is refused, the steps that need it are too, or do without
  for (const loan of loans) if (await permitted(connection, [loan.borrow])) borrowed.push(loan);
  for (const { sql, remedy } of statements) if (!(await permitted(connection, [sql]))) missing.add(remedy);
  for (const { giveBack } of borrowed) await permitted(connection, [giveBack]);
  return [...missing];
}

/** insufficient_privilege, invalid_grant_operation, dependent_objects_still_exist: for a person to settle. */
const NOT_PERMITTED = ['42501', '0LP01', '2BP01'];

export const isNotPermitted = (error: unknown): boolean =>
  error instanceof ServerRefusal && NOT_PERMITTED.includes(error.sqlState);

/** Whether the administrator may run these statements; when not, they have changed nothing. */
export async function permitted(connection: Connection, statements: readonly string[]): Promise<boolean> {
  try {
    await connection.query(`SAVEPOINT step;\n${statements.join(';\n')};\nRELEASE step`);
    return true;
  } catch (error) {
    if (!isNotPermitted(error)) throw error;
    await connection.query('ROLLBACK TO step; RELEASE step');
    return false;
  }
}

const actAs = ({ as, sql }: Step): string =>
  as === undefined ? sql : `SET LOCAL ROLE ${quoteIdentifier(as)};\n${sql};\nSET LOCAL ROLE NONE`;

/**
 * Acting as another role needs a membership in it. With ADMIN OPTION the administrator may grant itself one; it
 * lasts until the transaction ends and nobody else ever sees it.
 */
function loansFor({ admin, adminMemberships, membershipOptions }: Actor, steps: readonly Step[]): readonly Loan[] {
  if (admin.superuser) return [];
  const roles = new Set(steps.flatMap(({ as, owners = [] }) => (as === undefined ? owners : [as, ...owners])));
  return [...roles].flatMap((role): Loan[] => {
    const before = adminMemberships.find((membership) => membership.role === role);
    const [to, from] = [
      `GRANT ${quoteIdentifier(role)} TO CURRENT_USER`,
      `REVOKE ${quoteIdentifier(role)} FROM CURRENT_USER`,
    ];
    if (!membershipOptions) return before === undefined ? [{ borrow: to, giveBack: from }] : [];
    return [
      {
        borrow: `${to} WITH INHERIT TRUE, SET TRUE`,
        giveBack: before === undefined ? from : `${to} WITH INHERIT ${before.inherit}, SET ${before.set}`,
      },
    ];
  });
}

interface Loan {
  readonly borrow: string;
  readonly giveBack: string;
}
