import type { Credentials } from '../../../shared/engines/port.ts';
import { createPostgresEngine, type PostgresEngine } from '../../../shared/engines/postgres.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import type { PostgresServer } from '../../sandbox/postgres.ts';

/** Of every user that these suites make, unless they say another one. */
export const PASSWORD = 'password-1';

export const soon = () => deadlineIn(30_000, systemClock);

export const engineFor = (server: PostgresServer, ca = server.ca, clock = systemClock): PostgresEngine =>
  createPostgresEngine({ ca, allowLoopback: true, clock });

export const loginAt = (
  { host, port }: PostgresServer,
  username: string,
  password = PASSWORD,
  database = 'postgres',
): Credentials => ({ host, port, database, username, password: new SecretValue(password) });

/** Rows of the last statement, run in a session of that user. */
export async function runAs(
  server: PostgresServer,
  username: string,
  sql: string,
  password = PASSWORD,
  database = 'postgres',
): Promise<object[]> {
  const client = await server.connect({ username, password }, database);
  try {
    const result = await client.query(sql);
    return (Array.isArray(result) ? result.at(-1) : result).rows;
  } finally {
    await client.end();
  }
}
