import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { redisIsInstalled } from '../../sandbox/redis.ts';
import { type RealServer, startRealMariadb, startRealMysql, startRealPostgres, startRealRedis } from './real-server.ts';

export interface ServerKind {
  readonly name: string;
  readonly isInstalled: boolean;
  /** Those of its strategies that differ in how they speak to this kind of server. */
  readonly strategies: readonly StrategyName[];
  /** Ends it in order, whoever is connected. */
  readonly endedBy: NodeJS.Signals;
  start(): Promise<RealServer>;
}

/** The newest server of each kind, for what does not depend on the version. */
export const ONE_OF_EACH: readonly ServerKind[] = [
  {
    name: 'PostgreSQL 18',
    isInstalled: postgresIsInstalled(18),
    strategies: ['single-user', 'alternating-users', 'user-pair'],
    endedBy: 'SIGINT',
    start: () => startRealPostgres(18),
  },
  {
    name: 'MySQL 9.7',
    isInstalled: mysqlIsInstalled('9.7'),
    strategies: ['dual-password', 'alternating-users'],
    endedBy: 'SIGTERM',
    start: () => startRealMysql({ version: '9.7' }),
  },
  {
    name: 'MariaDB 11.8',
    isInstalled: mariadbIsInstalled('11.8'),
    strategies: ['user-pair', 'alternating-users'],
    endedBy: 'SIGTERM',
    start: () => startRealMariadb({ version: '11.8' }),
  },
  {
    name: 'Redis 8',
    isInstalled: redisIsInstalled({ kind: 'redis', version: 8 }),
    strategies: ['single-user', 'dual-password'],
    endedBy: 'SIGTERM',
    start: () => startRealRedis({ kind: 'redis', version: 8 }),
  },
];
