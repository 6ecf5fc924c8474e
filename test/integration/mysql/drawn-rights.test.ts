import { afterAll, beforeAll, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { anyRights, DRAWN_SETUP, expectEqualAfterEachTurn } from '../mysql-family-drawn-rights.ts';
import { account, type Bench, startBench } from './bench.ts';

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('two users on MySQL %s', (version) => {
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
        global: ['SELECT', 'INSERT, CREATE USER', 'PROCESS', 'BACKUP_ADMIN', 'XA_RECOVER_ADMIN, CLONE_ADMIN', 'ALL'],
        defaultRole: 'TO',
        options: ['WITH MAX_USER_CONNECTIONS 7', 'FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 2', "COMMENT 'x'"],
      }),
    ));
});
