import { createMariadbEngine, type MariadbEngine } from '../../../shared/engines/mariadb.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { type MariadbOptions, type MariadbServer, startMariadb } from '../../sandbox/mariadb.ts';
import { benchOf, type MysqlFamilyBench } from '../mysql-family-bench.ts';

export { ACCEPTED, account, newName, secret, soon, WRONG } from '../mysql-family-bench.ts';

export type Bench = MysqlFamilyBench<MariadbServer, MariadbEngine>;

export async function startBench(options: MariadbOptions): Promise<Bench> {
  const server = await startMariadb(options);
  return benchOf(server, createMariadbEngine({ ca: server.ca, allowLoopback: true, clock: systemClock }));
}
