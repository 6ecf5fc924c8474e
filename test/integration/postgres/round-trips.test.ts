import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import type { PostgresEngine } from '../../../shared/engines/postgres.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import { engineFor, loginAt, PASSWORD, soon } from './bench.ts';

/* What a call costs, so that a change which makes it cost more is seen. */
describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('round trips to PostgreSQL %s', (version) => {
  let server: PostgresServer;
  let engine: PostgresEngine;
  let pair: AdministeredPair;
  const loginOf = (username: string, password = PASSWORD) => loginAt(server, username, password);

  beforeAll(async () => {
    // The server logs a message of the client once, however many statements it holds.
    server = await startPostgres({ version, settings: { log_statement: 'all', log_connections: 'on' } });
    engine = engineFor(server);
    const client = await server.connect(server.admin);
    // Peers have nothing of their own; two users that alternate have default privileges for each other.
    const roles = ['app', 'peer', 'other_peer'].map((user) => `CREATE ROLE ${user} LOGIN PASSWORD '${PASSWORD}'`);
    await client.query(roles.join('; ')).finally(() => client.end());
    pair = {
      admin: loginOf(server.admin.username, server.admin.password),
      current: 'app',
      alternate: 'app_clone',
      database: 'postgres',
      acceptTakeOver: version < 16,
    };
    await engine.alternatingUsers.prepareAlternate(pair, new SecretValue(PASSWORD), async () => true, soon());
  });
  afterAll(() => server?.stop());

  test.each<[string, number, number, () => Promise<unknown>]>([
    ['login', 1, 1, () => engine.login(loginOf('app'), soon())],
    [
      // The first is the one that keeps the second out of the log where that can be.
      'setPassword',
      1,
      2,
      () =>
        engine.setPassword({ acting: loginOf('app'), username: 'app', password: new SecretValue(PASSWORD) }, soon()),
    ],
    [
      'prepareAlternate with nothing to reconcile',
      1,
      2,
      () => engine.alternatingUsers.prepareAlternate(pair, new SecretValue(PASSWORD), async () => true, soon()),
    ],
    ['differences', 1, 1, () => engine.alternatingUsers.differences(pair, loginOf('app_clone'), soon())],
    ['peerDifferences', 1, 1, () => engine.userPair.peerDifferences(loginOf('peer'), loginOf('other_peer'), soon())],
    [
      // One to prove that the current login works; what the second of the two looks at keeps what it changes out of the log.
      'changePeer',
      2,
      2,
      () =>
        engine.userPair.changePeer(
          { current: loginOf('peer'), other: loginOf('other_peer') },
          new SecretValue(PASSWORD),
          soon(),
        ),
    ],
    ['ownSessions', 1, 1, () => engine.userPair.ownSessions(loginOf('app'), soon())],
    ['inspect', 1, 2, () => engine.inspect(loginOf('app'), ['app', 'app_clone'], soon())],
  ])('%s takes %i connection(s) and %i more', async (_, connections, messages, call) => {
    const before = server.log().length;

    await call();

    const log = server.log().slice(before);
    expect(log.match(/connection authorized/g)).toHaveLength(connections);
    expect(log.match(/LOG: +statement:/g)).toHaveLength(messages);
  });
});
