import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled, startMariadb } from '../../sandbox/mariadb.ts';
import { ACCESS_DENIED, SECURE_TRANSPORT_REQUIRED, testMysqlFamilyServer } from '../mysql-family-server.ts';

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('the MariaDB %s of the tests', (version) => {
  testMysqlFamilyServer({
    start: (options) => startMariadb({ version, ...options }),
    version,
    refusesPlain: version === '10.11' ? ACCESS_DENIED : SECURE_TRANSPORT_REQUIRED,
  });
});
