import { createMariadbEngine } from '../../shared/engines/mariadb.ts';
import { MARIADB } from '../../shared/secrets/engine-rules.ts';
import { rotationHandler } from './handler.ts';

export const handler = rotationHandler('rotation-mariadb', (options) => ({
  engine: createMariadbEngine(options),
  rules: MARIADB,
}));
