import { startRealPostgres } from '../../integration/rotation/real-server.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { describeServer } from './suite.ts';

describeServer({
  name: 'PostgreSQL 18',
  engine: 'postgres',
  isInstalled: postgresIsInstalled(18),
  strategies: ['single-user', 'alternating-users', 'user-pair'],
  start: () => startRealPostgres(18),
});
