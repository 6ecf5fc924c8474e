import { createRedisEngine } from '../../shared/engines/redis.ts';
import { REDIS } from '../../shared/secrets/engine-rules.ts';
import { rotationHandler } from './handler.ts';

export const handler = rotationHandler('rotation-redis', (options) => ({
  engine: createRedisEngine(options),
  rules: REDIS,
}));
