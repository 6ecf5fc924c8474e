import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Credentials, DatabaseEngine, UserPair } from '../../shared/engines/port.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';

/** A database, real or not, that the suite may do anything to. */
export interface DatabaseUnderTest {
  readonly engine: DatabaseEngine;
  readonly admin: Credentials;
  /** A user that may log in. */
  addUser(name: string, password: string): Promise<void>;
  /** The one right that the suite gives and takes. */
  grant(user: string): Promise<void>;
  revoke(user: string): Promise<void>;
  /** Whether a session with this password may use the right, by using it. */
  mayUse(user: string, password: string): Promise<boolean>;
  expire(user: string): Promise<void>;
  /** @returns ends the session */
  openSession(user: string, password: string, applicationName: string): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

const soon = () => deadlineIn(30_000, systemClock);
const secret = (text: string) => new SecretValue(text);

/** What rotation and retirement rely on, whatever the database. */
export function describeDatabaseEngine(what: string, start: () => Promise<DatabaseUnderTest>): void {
  describe(`the engine contract on ${what}`, () => {
    let database: DatabaseUnderTest;
    let engine: DatabaseEngine;
    let count = 0;

    beforeAll(async () => {
      database = await start();
      engine = database.engine;
    });
    afterAll(() => database?.stop());

    /** Two users that no other test touches; the current one exists, with the password `current-1`. */
    async function newPair(): Promise<UserPair> {
      count += 1;
      const current = `app_${count}`;
      await database.addUser(current, 'current-1');
      return { admin: database.admin, current, alternate: `${current}_clone`, database: database.admin.database };
    }
    const as = (username: string, password: string): Credentials => ({
      ...database.admin,
      username,
      password: secret(password),
    });
    const login = (username: string, password: string, witness?: Credentials) =>
      engine.login(as(username, password), soon(), witness);

    test('login accepts the right password', async () => {
      const { current } = await newPair();

      expect(await login(current, 'current-1')).toEqual({ kind: 'accepted' });
    });

    test('login refuses another password', async () => {
      const { current } = await newPair();

      expect(await login(current, 'wrong', database.admin)).toEqual({ kind: 'refused', reason: 'password' });
    });

    test('login does not know why an unknown user was refused, and a witness does', async () => {
      expect(await login('nobody', 'any')).toEqual({ kind: 'refused', reason: 'password' });
      expect(await login('nobody', 'any', database.admin)).toEqual({ kind: 'refused', reason: 'no-such-user' });
    });

    test('login does not know that a password expired, and a witness does', async () => {
      const { current } = await newPair();
      await database.expire(current);

      expect(await login(current, 'current-1')).toEqual({ kind: 'refused', reason: 'password' });
      expect(await login(current, 'current-1', database.admin)).toEqual({ kind: 'refused', reason: 'expired' });
    });

    test('login stands by a refusal that a witness cannot explain', async () => {
      const witness = { ...database.admin, password: secret('wrong') };

      expect(await login('nobody', 'any', witness)).toEqual({ kind: 'refused', reason: 'password' });
    });

    test('setOwnPassword replaces the password', async () => {
      const { current } = await newPair();

      await engine.setOwnPassword(as(current, 'current-1'), secret('current-2'), soon());

      expect(await login(current, 'current-2')).toEqual({ kind: 'accepted' });
      expect(await login(current, 'current-1')).toEqual({ kind: 'refused', reason: 'password' });
    });

    test('setOwnPassword with a password that is not the present one changes nothing', async () => {
      const { current } = await newPair();

      await expect(engine.setOwnPassword(as(current, 'wrong'), secret('current-2'), soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
      });

      expect(await login(current, 'current-1')).toEqual({ kind: 'accepted' });
    });

    test('prepareAlternate creates a user that can do what the current one can', async () => {
      const pair = await newPair();
      await database.grant(pair.current);

      await engine.prepareAlternate(pair, secret('alternate-1'), soon());

      expect(await database.mayUse(pair.alternate, 'alternate-1')).toBe(true);
      expect(await engine.differences(pair, soon())).toEqual([]);
    });

    test('prepareAlternate leaves the current user alone', async () => {
      const pair = await newPair();
      await database.grant(pair.current);

      await engine.prepareAlternate(pair, secret('alternate-1'), soon());

      expect(await database.mayUse(pair.current, 'current-1')).toBe(true);
    });

    test('prepareAlternate may be repeated', async () => {
      const pair = await newPair();
      await engine.prepareAlternate(pair, secret('alternate-1'), soon());

      await engine.prepareAlternate(pair, secret('alternate-1'), soon());

      expect(await login(pair.alternate, 'alternate-1')).toEqual({ kind: 'accepted' });
      expect(await engine.differences(pair, soon())).toEqual([]);
    });

    test('prepareAlternate works back and forth, and a right given in between reaches both', async () => {
      const there = await newPair();
      await engine.prepareAlternate(there, secret('alternate-1'), soon());
      await database.grant(there.alternate);
      const back = { ...there, current: there.alternate, alternate: there.current };

      await engine.prepareAlternate(back, secret('current-2'), soon());

      expect(await database.mayUse(there.current, 'current-2')).toBe(true);
      expect(await database.mayUse(there.alternate, 'alternate-1')).toBe(true);
      expect(await engine.differences(back, soon())).toEqual([]);
    });

    test('a right taken from the current user is gone from the alternate one after the next rotation', async () => {
      const pair = await newPair();
      await database.grant(pair.current);
      await engine.prepareAlternate(pair, secret('alternate-1'), soon());
      await database.revoke(pair.current);

      await engine.prepareAlternate(pair, secret('alternate-2'), soon());

      expect(await database.mayUse(pair.alternate, 'alternate-2')).toBe(false);
    });

    test('differences names a missing user, and changes nothing', async () => {
      const pair = await newPair();

      expect(await engine.differences(pair, soon())).toEqual([`${pair.alternate} does not exist`]);
      expect(await engine.differences(pair, soon())).toEqual([`${pair.alternate} does not exist`]);
    });

    test('missingForAlternate is empty for an administrator who may do it all, and changes nothing', async () => {
      const pair = await newPair();

      expect(await engine.missingForAlternate(pair, soon())).toEqual([]);
      expect(await engine.differences(pair, soon())).toEqual([`${pair.alternate} does not exist`]);
    });

    test('refuses a current user that does not exist', async () => {
      const pair = { ...(await newPair()), current: 'nobody' };

      await expect(engine.prepareAlternate(pair, secret('x'), soon())).rejects.toMatchObject({
        code: 'USERNAME_INVALID',
      });
    });

    test('41: refuses to rotate the administrator with itself', async () => {
      const pair = { ...(await newPair()), alternate: database.admin.username };

      await expect(engine.prepareAlternate(pair, secret('x'), soon())).rejects.toMatchObject({
        code: 'USERNAME_INVALID',
      });
      expect(await engine.login(database.admin, soon())).toEqual({ kind: 'accepted' });
    });

    test('refuses an administrator whom the server refuses, and says whose login it was', async () => {
      const pair = { ...(await newPair()), admin: { ...database.admin, password: secret('wrong') } };

      await expect(engine.prepareAlternate(pair, secret('x'), soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(database.admin.username),
      });
    });

    describe('disableAlternate', () => {
      async function prepared(): Promise<UserPair> {
        const pair = await newPair();
        await engine.prepareAlternate(pair, secret('alternate-1'), soon());
        return pair;
      }

      test('ends the login of the alternate user alone', async () => {
        const pair = await prepared();

        expect(await engine.disableAlternate(pair, async () => true, soon())).toEqual({ kind: 'disabled' });

        expect((await login(pair.alternate, 'alternate-1')).kind).toBe('refused');
        expect(await login(pair.current, 'current-1')).toEqual({ kind: 'accepted' });
      });

      test('may be repeated', async () => {
        const pair = await prepared();
        await engine.disableAlternate(pair, async () => true, soon());

        expect(await engine.disableAlternate(pair, async () => true, soon())).toEqual({ kind: 'disabled' });
      });

      test('changes nothing when it is no longer wanted', async () => {
        const pair = await prepared();

        expect(await engine.disableAlternate(pair, async () => false, soon())).toEqual({ kind: 'not-wanted' });

        expect(await login(pair.alternate, 'alternate-1')).toEqual({ kind: 'accepted' });
      });

      test('changes nothing while a session of that user is open, and says whose it is', async () => {
        const pair = await prepared();
        const end = await database.openSession(pair.alternate, 'alternate-1', 'nightly-report');
        try {
          expect(await engine.disableAlternate(pair, async () => true, soon())).toEqual({
            kind: 'sessions-open',
            sessions: [
              {
                applicationName: 'nightly-report',
                clientAddress: '127.0.0.1',
                since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
              },
            ],
          });
          expect(await login(pair.alternate, 'alternate-1')).toEqual({ kind: 'accepted' });
        } finally {
          await end();
        }
      });

      test('is undone by the next prepareAlternate, rights and all', async () => {
        const pair = await prepared();
        await database.grant(pair.current);
        await engine.disableAlternate(pair, async () => true, soon());

        await engine.prepareAlternate(pair, secret('alternate-2'), soon());

        expect(await database.mayUse(pair.alternate, 'alternate-2')).toBe(true);
        expect(await engine.differences(pair, soon())).toEqual([]);
      });
    });
  });
}
