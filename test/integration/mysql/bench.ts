import { createMysqlEngine, type MysqlEngine } from '../../../shared/engines/mysql.ts';
import type { Credentials } from '../../../shared/engines/port.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { type MysqlOptions, type MysqlServer, startMysql } from '../../sandbox/mysql.ts';
import { account, benchOf, type MysqlFamilyBench, secret, soon } from '../mysql-family-bench.ts';

export { ACCEPTED, account, newName, secret, soon, WRONG } from '../mysql-family-bench.ts';

export interface Bench extends MysqlFamilyBench<MysqlServer, MysqlEngine> {
  /** Lets a user have two passwords. */
  mayHaveTwo(username: string): Promise<void>;
  add(
    username: string,
    present: string,
    password: string,
    acting?: Credentials,
  ): ReturnType<MysqlEngine['dualPassword']['addPassword']>;
  discard(username: string, kept: string, acting?: Credentials): Promise<'discarded' | 'notWanted'>;
}

export async function startBench(options: MysqlOptions): Promise<Bench> {
  const server = await startMysql(options);
  const engine = createMysqlEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
  const bench = benchOf(server, engine, (shown) =>
    shown
      .replace(/^.*?( DEFAULT ROLE| REQUIRE)/s, '$1')
      .replace(/ MAX_[A-Z_]+ 0/g, '')
      .replace(' WITH ', ' '),
  );
  const { as } = bench;
  return {
    ...bench,
    mayHaveTwo: (username) => bench.run(`GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${account(username)}`),
    add: (username, present, password, acting = as(username, present)) =>
      engine.dualPassword.addPassword(
        { acting, username, password: secret(password), present: as(username, present) },
        async () => true,
        soon(),
      ),
    discard: (username, kept, acting = as(username, kept)) =>
      engine.dualPassword.discardOld({ acting, kept: as(username, kept) }, async () => true, soon()),
  };
}
