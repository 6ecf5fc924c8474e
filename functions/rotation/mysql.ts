import { createMysqlEngine } from '../../shared/engines/mysql.ts';
import { MYSQL } from '../../shared/secrets/engine-rules.ts';
import { rotationHandler } from './handler.ts';

export const handler = rotationHandler('rotation-mysql', (options) => ({
  engine: createMysqlEngine(options),
  rules: MYSQL,
}));
