import { createMariadbEngine, type MariadbEngine } from '../../../shared/engines/mariadb.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { type MariadbOptions, type MariadbServer, startMariadb } from '../../sandbox/mariadb.ts';
import { account, benchOf, type MysqlFamilyBench } from '../mysql-family-bench.ts';

export { ACCEPTED, account, newName, secret, soon, WRONG } from '../mysql-family-bench.ts';

export type Bench = MysqlFamilyBench<MariadbServer, MariadbEngine>;

export async function startBench(options: MariadbOptions): Promise<Bench> {
  const server = await startMariadb(options);
  const engine = createMariadbEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
  const bench = benchOf(server, engine, (shown) =>
    shown.replace(/^CREATE USER `[^`]*`@`[^`]*`/, '').replaceAll(/ (?:BY PASSWORD|USING) '[^']*'/g, ''),
  );
  return {
    ...bench,
    async newRole() {
      const role = await bench.newRole();
      await bench.run(`GRANT ${role} TO ${account(bench.admin.username)} WITH ADMIN OPTION`);
      return role;
    },
    // MariaDB lists them in no order.
    grants: async (user, host) => (await bench.grants(user, host)).sort(),
  };
}
