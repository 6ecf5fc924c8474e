import { afterAll, beforeAll } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { type RealServer, startRealMysql } from './real-server.ts';
import { describeRotations } from './rotations.ts';

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('rotation on MySQL %s', (version) => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealMysql({ version });
  });
  afterAll(() => server?.stop());

  describeRotations(() => server, ['single-user', 'alternating-users', 'user-pair', 'dual-password'], {
    names: ['app', `a"b'c`, 'a`b\\', 'Grüße; --'],
    statement: 'ALTER USER',
  });
});
