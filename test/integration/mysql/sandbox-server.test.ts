import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled, startMysql } from '../../sandbox/mysql.ts';
import { SECURE_TRANSPORT_REQUIRED, testMysqlFamilyServer } from '../mysql-family-server.ts';

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('the MySQL %s of the tests', (version) => {
  testMysqlFamilyServer({
    start: (options) => startMysql({ version, ...options }),
    version,
    refusesPlain: SECURE_TRANSPORT_REQUIRED,
  });
});
