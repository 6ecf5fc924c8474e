import { createMariadbEngine } from '../../shared/engines/mariadb.ts';
import { createMysqlEngine } from '../../shared/engines/mysql.ts';
import { createPostgresEngine } from '../../shared/engines/postgres.ts';
import { createRedisEngine } from '../../shared/engines/redis.ts';
import type { Database } from '../../shared/rotation/strategy.ts';
import { MARIADB, MYSQL, POSTGRES, REDIS } from '../../shared/secrets/engine-rules.ts';
import type { EngineOptions } from '../database-config.ts';

/** Every kind of database that has a previous credential to retire. */
export const databases = (options: EngineOptions): readonly Database[] => [
  { engine: createPostgresEngine(options), rules: POSTGRES },
  { engine: createMysqlEngine(options), rules: MYSQL },
  { engine: createMariadbEngine(options), rules: MARIADB },
  { engine: createRedisEngine(options), rules: REDIS },
];
