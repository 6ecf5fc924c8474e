import { createPostgresEngine } from '../../shared/engines/postgres.ts';
import { POSTGRES } from '../../shared/secrets/engine-rules.ts';
import { rotationHandler } from './handler.ts';

export const handler = rotationHandler('rotation-postgres', (options) => ({
  engine: createPostgresEngine(options),
  rules: POSTGRES,
}));
