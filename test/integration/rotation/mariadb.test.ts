import { afterAll, beforeAll } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { type RealServer, startRealMariadb } from './real-server.ts';
import { describeRotations } from './rotations.ts';

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('rotation on MariaDB %s', (version) => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealMariadb({ version });
  });
  afterAll(() => server?.stop());

  describeRotations(() => server, ['single-user', 'alternating-users', 'user-pair'], {
    names: ['app', `a"b'c`, 'a`b\\', 'Grüße; --'],
    statement: 'SET PASSWORD',
    seenAs: 'unnamed', // performance_schema, which would know its name, is off by default
  });
});
