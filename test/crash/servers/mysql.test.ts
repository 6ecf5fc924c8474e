import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { startRealMysql } from '../../integration/rotation/real-server.ts';
import { mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { describeServer } from './suite.ts';

describeServer({
  name: 'MySQL 9.7',
  engine: 'mysql',
  isInstalled: mysqlIsInstalled('9.7'),
  strategies: STRATEGIES,
  start: () => startRealMysql({ version: '9.7' }),
});
