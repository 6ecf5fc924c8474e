import { afterAll, beforeAll, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { anyRights, DRAWN_SETUP, expectEqualAfterEachTurn } from '../mysql-family-drawn-rights.ts';
import { account, type Bench, startBench } from './bench.ts';

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('two users on MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(...DRAWN_SETUP(account(bench.admin.username)));
  });
  afterAll(() => bench?.server.stop());

  test('may do the same after every rotation, whatever was granted and revoked before', () =>
    expectEqualAfterEachTurn(
      bench,
      anyRights({
        global: ['SELECT', 'INSERT, CREATE USER', 'PROCESS', 'BINLOG MONITOR', 'SET USER, CONNECTION ADMIN', 'ALL'],
        defaultRole: 'FOR',
        options: ['WITH MAX_USER_CONNECTIONS 7', 'WITH MAX_STATEMENT_TIME 1.5', 'PASSWORD EXPIRE INTERVAL 90 DAY'],
      }),
    ));
});
