import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Credentials } from '../../shared/engines/port.ts';
import { createAuthority, EXPIRED } from '../sandbox/certificates.ts';
import type { MysqlFamilyOptions } from '../sandbox/mysql-family.ts';
import { ACCEPTED, account, type MysqlFamilyBench, occupy, secret, soon, WRONG } from './mysql-family-bench.ts';

export const refusedFor = (reason: string) => ({ kind: 'refused', reason });

type Start<Bench> = (options?: MysqlFamilyOptions) => Promise<Bench>;

/** Starts more servers, each of which ends with the test that asked for it. */
export function untilEndOfTest<Bench extends MysqlFamilyBench>(start: Start<Bench>): Start<Bench> {
  const started: Bench[] = [];
  afterEach(async () => {
    for (const { server } of started.splice(0)) await server.stop();
  });
  return async (options) => {
    const bench = await start(options);
    started.push(bench);
    return bench;
  };
}

/** What one of the two servers does in its own way. */
export interface LoginDialect<Bench> {
  /** One more of the same version. */
  readonly start: Start<Bench>;
  /** What an error says to run when the password of an account has expired; here it is `one` again. */
  readonly renewal: (account: string) => string;
  /** The least that max_connections may be. */
  readonly leastConnections: number;
  /** A change of the user `app`, of the password `one`, that only this server knows. */
  readonly ownChange?: (bench: Bench, acting: Credentials) => Promise<unknown>;
}

/** What both MySQL and MariaDB say to who logs in, and what Rekey makes of it. */
export function testMysqlFamilyLogin<Bench extends MysqlFamilyBench>(
  bench: () => Bench,
  { start, renewal, leastConnections, ownChange }: LoginDialect<Bench>,
): void {
  const another = untilEndOfTest(start);

  describe('68: why a login was refused', () => {
    test('an expired password', async () => {
      const user = await bench().newUser('PASSWORD EXPIRE');

      expect(await bench().login(user, 'one')).toEqual(refusedFor('expired'));
      expect(await bench().login(user, 'wrong', bench().admin)).toEqual(WRONG);

      await bench().run(renewal(account(user)));
      expect(await bench().login(user, 'one')).toEqual(ACCEPTED);
    });

    test('an expired password, on a server that lets such users in to change it', async () => {
      const lenient = await another({ settings: { 'disconnect-on-expired-password': 'OFF' } });
      const user = await lenient.newUser('PASSWORD EXPIRE');

      expect(await lenient.login(user, 'one')).toEqual(refusedFor('expired'));
    });

    test('a locked account', async () => {
      const user = await bench().newUser('ACCOUNT LOCK');

      expect(await bench().login(user, 'one')).toEqual(refusedFor('locked'));
      expect(await bench().login(user, 'wrong', bench().admin)).toEqual(refusedFor('locked'));
    });

    test('an account for another host', async () => {
      const { current: user } = await bench().newPair('10.%');

      expect(await bench().login(user, 'one')).toEqual(WRONG);
      await expect(bench().login(user, 'one', bench().admin)).resolves.toMatchObject({ kind: 'refused' });
    });

    test('a client certificate that is missing', async () => {
      const user = await bench().newUser('REQUIRE X509');

      expect(await bench().login(user, 'one', bench().admin)).toEqual(refusedFor('not-permitted'));
    });

    test('a user that does not exist, and one whose name differs in case', async () => {
      const user = await bench().newUser();

      expect(await bench().login('nobody', 'one', bench().admin)).toEqual(refusedFor('no-such-user'));
      expect(await bench().login(user.toUpperCase(), 'one', bench().admin)).toEqual(refusedFor('no-such-user'));
    });

    test('no right on the database', async () => {
      const user = await bench().newUser();

      expect(await bench().engine.login(bench().as(user, 'one', { database: 'app' }), soon())).toEqual(
        refusedFor('not-permitted'),
      );
    });

    test('a database that does not exist is no refusal of the login', async () => {
      const login = bench().engine.login({ ...bench().admin, database: 'no_such_database' }, soon());

      await expect(login).rejects.toMatchObject({ code: 'DATABASE_MISSING', retryable: false });
    });

    test('an anonymous account is not this user', async () => {
      await bench().run("CREATE USER ''@'localhost' IDENTIFIED BY 'one'");
      try {
        await expect(bench().login('nobody', 'one')).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      } finally {
        await bench().run("DROP USER ''@'localhost'");
      }
    });
  });

  test('a user that was dropped or renamed meanwhile is none that can be changed', async () => {
    await expect(bench().setByAdmin('dropped', 'two')).rejects.toMatchObject({
      code: 'USERNAME_INVALID',
      message: expect.stringContaining('dropped'),
    });
  });

  test('59: a server that hangs is given up in time', async () => {
    const { server, engine, as } = await another();
    process.kill(server.pid, 'SIGSTOP');
    try {
      await expect(engine.login(as('app', 'one'), soon(3_000))).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        retryable: true,
      });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
  });

  test('a statement that takes too long ends with the deadline', async () => {
    const user = await bench().newUser();
    const holder = await bench().server.connect(bench().server.superuser);
    await holder.query('FLUSH TABLES WITH READ LOCK');
    try {
      const change = { acting: bench().as(user, 'one'), username: user, password: secret('two') };
      await expect(bench().engine.setPassword(change, soon(4_000))).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        retryable: true,
      });
    } finally {
      await holder.end();
    }
  });

  test('64: a server without a connection to spare is busy', async () => {
    const { server, newUser, login } = await another({ settings: { 'max-connections': `${leastConnections}` } });
    const user = await newUser();
    const giveBack = await occupy(server, leastConnections);
    try {
      await expect(login(user, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await giveBack();
    }
  });

  test('64: a user with no connection to spare is busy', async () => {
    const user = await bench().newUser('WITH MAX_USER_CONNECTIONS 1');
    const held = await bench().server.connect({ username: user, password: 'one' });
    try {
      await expect(bench().login(user, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await held.end();
    }
  });

  test('72: another rotation of the same users is waited for, and no longer than it makes sense', async () => {
    const pair = await bench().newPair();
    let enter = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    let leave = () => {};
    const retiring = bench().engine.alternatingUsers.disableAlternate(
      pair,
      () => {
        enter();
        return new Promise((resolve) => {
          leave = () => resolve(false);
        });
      },
      soon(),
    );
    await inside;
    try {
      await expect(bench().prepare(pair)).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      leave();
      await retiring;
    }
    await bench().prepare(pair);
    expect(await bench().login(pair.alternate, 'two')).toEqual(ACCEPTED);
  });

  describe('63: a server that is read-only', () => {
    let replica: Bench;
    beforeAll(async () => {
      replica = await start();
      await replica.newUser('', 'app');
      await replica.run('SET GLOBAL read_only = ON');
    });
    afterAll(() => replica?.server.stop());

    test.each(['an administrator', 'a superuser, whom it would obey', 'the user itself'])(
      'is left as it is by %s',
      async (who) => {
        const { server, engine, as, admin } = replica;
        const self = as('app', 'one');
        const root = as(server.superuser.username, server.superuser.password);
        const acting = who === 'the user itself' ? self : who === 'an administrator' ? admin : root;
        const change = { acting, username: 'app', password: secret('two') };
        const pair = { admin: acting, current: 'app', alternate: 'app_clone', database: 'app' };
        const readOnly = { code: 'DATABASE_READ_ONLY', retryable: true };

        await expect(engine.setPassword(change, soon())).rejects.toMatchObject(readOnly);
        if (ownChange) await expect(ownChange(replica, acting)).rejects.toMatchObject(readOnly);
        if (who !== 'the user itself') await expect(replica.prepare(pair)).rejects.toMatchObject(readOnly);

        expect(await engine.login(self, soon())).toEqual(ACCEPTED);
        expect(await engine.inspect(self, [], soon())).toMatchObject({ readOnly: true });
      },
    );
  });

  describe('60: TLS', () => {
    const logIn = ({ engine, admin }: MysqlFamilyBench, transport?: Credentials['transport']) =>
      engine.login({ ...admin, ...(transport && { transport }) }, soon());
    const untrustworthy = (what: string) => ({
      code: 'DATABASE_TLS',
      retryable: false,
      message: expect.stringContaining(what),
    });

    test('a certificate that has expired is refused', async () => {
      const other = await another({ tls: (authority) => authority.issue(['localhost'], EXPIRED) });

      await expect(logIn(other)).rejects.toMatchObject(untrustworthy('CERT_HAS_EXPIRED'));
    });

    test('a certificate for another host is refused, unless the secret names that host', async () => {
      const other = await another({ tls: (authority) => authority.issue(['db.example']) });

      await expect(logIn(other)).rejects.toMatchObject(untrustworthy('ERR_TLS_CERT_ALTNAME_INVALID'));
      expect(await logIn(other, { kind: 'verified', serverName: 'db.example' })).toEqual(ACCEPTED);
      await expect(logIn(other, { kind: 'verified', serverName: '127.0.0.1' })).rejects.toMatchObject({
        code: 'HOST_NOT_ALLOWED',
      });
    });

    test('an unknown authority is refused, unless the secret brings it', async () => {
      const own = createAuthority();
      const other = await another({ tls: () => own.issue(['localhost']) });

      await expect(logIn(other)).rejects.toMatchObject(untrustworthy('CERT'));
      expect(await logIn(other, { kind: 'verified', ca: own.certificate })).toEqual(ACCEPTED);
    });

    test('a server without TLS is refused', async () => {
      const other = await another({ tls: 'off' });

      await expect(logIn(other)).rejects.toMatchObject(untrustworthy('does not offer TLS'));
    });
  });
}
