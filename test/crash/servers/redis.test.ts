import { startRealRedis } from '../../integration/rotation/real-server.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { describeServer } from './suite.ts';

// Redis 7 speaks as 8 does.
for (const id of REDIS_SERVERS.filter((each) => redisName(each) !== 'Redis 7'))
  describeServer({
    name: redisName(id),
    engine: 'redis',
    isInstalled: redisIsInstalled(id),
    strategies: ['single-user', 'dual-password'],
    start: () => startRealRedis(id),
    ...(redisName(id) === 'Valkey 9' && { faultsOnly: true }),
  });
