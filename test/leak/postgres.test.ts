import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AdministeredPair, Credentials, PasswordChange } from '../../shared/engines/port.ts';
import { createPostgresEngine, type PostgresEngine } from '../../shared/engines/postgres.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createAuthority } from '../sandbox/certificates.ts';
import { describeEachServer } from '../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled, startPostgres } from '../sandbox/postgres.ts';
import { shownAs, thrownBy } from './shown-as.ts';

const CANARY = 'hunter2-canary';
const soon = () => deadlineIn(30_000, systemClock);

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('a password that PostgreSQL %s is told of', (version) => {
  let server: PostgresServer;
  let engine: PostgresEngine;

  beforeAll(async () => {
    server = await startPostgres({
      version,
      settings: {
        log_statement: 'all',
        log_min_messages: 'debug1',
        log_min_error_statement: 'debug1',
        log_min_duration_statement: '0',
        log_connections: 'on',
      },
    });
    engine = createPostgresEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
  });
  afterAll(() => server?.stop());

  const as = (username: string, password: string, more: Partial<Credentials> = {}): Credentials => ({
    host: server.host,
    port: server.port,
    database: 'postgres',
    username,
    password: new SecretValue(password),
    ...more,
  });
  const pair = (current: string, more: Partial<AdministeredPair> = {}): AdministeredPair => ({
    admin: as(server.admin.username, server.admin.password),
    current,
    alternate: `${current}_clone`,
    database: 'postgres',
    acceptTakeOver: version < 16,
    ...more,
  });
  const change = (username: string, password: string): PasswordChange => ({
    acting: as(username, CANARY),
    username,
    password: new SecretValue(password),
  });
  const canary = new SecretValue(CANARY);

  test("M11: is in no line of the server's log, whether it was set, used or refused", async () => {
    await server.run('CREATE ROLE rekeyed LOGIN; GRANT rekeyed TO rekey_admin WITH ADMIN OPTION');
    await engine.alternatingUsers.prepareAlternate(pair('rekeyed'), canary, async () => true, soon());
    await engine.setPassword(change('rekeyed_clone', `${CANARY}-2`), soon());
    await engine.login(as('rekeyed_clone', `${CANARY}-2`), soon());
    await engine.login(as('rekeyed_clone', `${CANARY}-wrong`), soon());

    const log = server.log();
    expect(log).toContain('ALTER ROLE "rekeyed_clone" LOGIN PASSWORD \'SCRAM-SHA-256$');
    expect(log).not.toContain('hunter2');
  });

  test('M11: is in no line of the log when an administrator or a peer is who sets it', async () => {
    await server.run('CREATE ROLE peer LOGIN; GRANT peer TO rekey_admin WITH ADMIN OPTION');
    await engine.setPassword(
      { acting: as(server.admin.username, server.admin.password), username: 'peer', password: canary },
      soon(),
    );
    await engine.userPair.createPeer(pair('peer'), new SecretValue(`${CANARY}-2`), soon());
    await engine.setPassword(
      { acting: as('peer_clone', `${CANARY}-2`), username: 'peer_clone', password: new SecretValue(`${CANARY}-3`) },
      soon(),
    );

    expect(server.log()).toContain('ALTER ROLE "peer_clone" PASSWORD \'SCRAM-SHA-256$');
    expect(server.log()).not.toContain('hunter2');
  });

  test('M11: leaves not even its verifier in the log where the user may decide what is logged', async () => {
    await server.run('CREATE ROLE discreet LOGIN; GRANT SET ON PARAMETER log_statement TO discreet');
    await server.run(`ALTER ROLE discreet SET log_min_duration_statement TO -1`);
    const superuser = as(server.superuser.username, server.superuser.password);
    await engine.setPassword({ acting: superuser, username: 'discreet', password: canary }, soon());
    const before = server.log().length;

    await engine.setPassword(
      { acting: as('discreet', CANARY), username: 'discreet', password: new SecretValue(`${CANARY}-2`) },
      soon(),
    );

    const log = server.log().slice(before);
    expect(log).toContain('BEGIN READ WRITE'); // it does log this session
    expect(log).not.toMatch(/SCRAM-SHA-256|hunter2/);
    expect(await engine.login(as('discreet', `${CANARY}-2`), soon())).toEqual({ kind: 'accepted' });
  });

  test.each<[string, () => Promise<unknown>]>([
    ['a wrong password', () => engine.setPassword(change('nobody', CANARY), soon())],
    [
      'a missing database',
      () => engine.login(as(server.admin.username, server.admin.password, { database: 'no' }), soon()),
    ],
    [
      'a missing right',
      () => engine.alternatingUsers.prepareAlternate(pair('postgres'), canary, async () => true, soon()),
    ],
    [
      'a user that is not there',
      () => engine.alternatingUsers.prepareAlternate(pair('nobody'), canary, async () => true, soon()),
    ],
    [
      'an administrator who is refused',
      () =>
        engine.alternatingUsers.prepareAlternate(
          pair('nobody', { admin: as('rekey_admin', CANARY) }),
          canary,
          async () => true,
          soon(),
        ),
    ],
    ['a port where nothing listens', () => engine.login(as('app', CANARY, { port: 1 }), soon())],
    ['a host that is not there', () => engine.login(as('app', CANARY, { host: 'no-such-host.invalid' }), soon())],
    [
      'an unknown authority',
      () =>
        createPostgresEngine({ ca: createAuthority().certificate, allowLoopback: true, clock: systemClock }).login(
          as('app', CANARY),
          soon(),
        ),
    ],
    ['a password that no verifier is made for', () => engine.setPassword(change('app', `${CANARY}-λ`), soon())],
    ['a user name with a NUL', () => engine.login(as('app\0', CANARY), soon())],
  ])('is in no view of the error about %s', async (_, work) => {
    const error = await thrownBy(work());

    expect(error).toHaveProperty('name', 'RekeyError');
    expect(error).not.toHaveProperty('cause');
    expect(shownAs(error)).not.toMatch(/hunter2|SCRAM-SHA-256\$/);
  });
});
