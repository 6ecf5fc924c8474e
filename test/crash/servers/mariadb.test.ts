import { startRealMariadb } from '../../integration/rotation/real-server.ts';
import { mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { describeServer } from './suite.ts';

describeServer({
  name: 'MariaDB 11.8',
  engine: 'mariadb',
  isInstalled: mariadbIsInstalled('11.8'),
  strategies: ['single-user', 'alternating-users', 'user-pair'],
  start: () => startRealMariadb({ version: '11.8' }),
});
