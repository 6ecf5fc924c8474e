import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type {
  AdministeredPair,
  AlternatingUsersEngine,
  Credentials,
  DatabaseEngine,
  DualPasswordEngine,
  PasswordChange,
  UserPairEngine,
} from '../../shared/engines/port.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { eventually } from '../sandbox/eventually.ts';

/** A database, real or not, that the suite may do anything to. */
export interface DatabaseUnderTest {
  readonly engine: DatabaseEngine;
  readonly admin: Credentials;
  /** The version as the engine is to tell it, e.g. `PostgreSQL 18.1`, or its beginning. */
  readonly version: string;
  /** Where only the acceptance of a take-over makes alternating users possible. */
  readonly acceptTakeOver?: boolean;
  /** A user that may log in. */
  addUser(name: string, password: string): Promise<void>;
  /** The one right that the suite gives and takes. */
  grant(user: string): Promise<void>;
  revoke(user: string): Promise<void>;
  /** Whether a session with this password may use the right, by using it. */
  mayUse(user: string, password: string): Promise<boolean>;
  /** Left out where passwords do not expire. */
  expire?(user: string): Promise<void>;
  /** Refuses the user whatever the password. */
  lock(user: string): Promise<void>;
  /** Where a user may change its own password only when someone let it; that may make it an administrator. */
  letChangeItself?(user: string): Promise<void>;
  /** Where a user may have a second password only when someone let it. */
  letKeepOld?(user: string): Promise<void>;
  /** @returns ends the session; it is over when that settles */
  openSession(user: string, password: string, applicationName: string): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

export type StrategyName = 'alternatingUsers' | 'userPair' | 'dualPassword';

/**
 * What rotation and retirement rely on, whatever the database.
 * @param strategies those that the engine has, each with its own part of the suite
 */
export function describeDatabaseEngine(
  what: string,
  start: () => Promise<DatabaseUnderTest>,
  strategies: readonly StrategyName[],
): void {
  describe(`the engine contract on ${what}`, () => {
    const scene = new Scene();
    beforeAll(() => scene.begin(start));
    afterAll(() => scene.end());

    test('is about an engine that knows these strategies and no other', () => {
      const names = ['alternatingUsers', 'userPair', 'dualPassword'] as const;

      expect(names.filter((name) => scene.engine[name])).toEqual(names.filter((name) => strategies.includes(name)));
    });

    describeLogin(scene);
    describeSetPassword(scene);
    describeInspect(scene);
    if (strategies.includes('alternatingUsers')) describeAlternatingUsers(scene);
    if (strategies.includes('userPair')) describeUserPair(scene);
    if (strategies.includes('dualPassword')) describeDualPassword(scene);
  });
}

const soon = () => deadlineIn(30_000, systemClock);
const secret = (text: string) => new SecretValue(text);
const ACCEPTED = { kind: 'accepted' };
const REFUSED = { kind: 'refused', reason: 'password' };

/** The server of one suite, and names that no other test uses. */
class Scene {
  #database: DatabaseUnderTest | undefined;
  #count = 0;

  async begin(start: () => Promise<DatabaseUnderTest>): Promise<void> {
    this.#database = await start();
  }

  async end(): Promise<void> {
    await this.#database?.stop();
  }

  get database(): DatabaseUnderTest {
    if (this.#database === undefined) throw new Error('the database was not started');
    return this.#database;
  }
  get engine(): DatabaseEngine {
    return this.database.engine;
  }
  get admin(): Credentials {
    return this.database.admin;
  }

  /** A user with the password `current-1`. */
  async newUser(): Promise<string> {
    this.#count += 1;
    const name = `app_${this.#count}`;
    await this.database.addUser(name, 'current-1');
    return name;
  }

  /** Of these two the current user exists, with the password `current-1`. */
  async newPair(): Promise<AdministeredPair> {
    const current = await this.newUser();
    const { acceptTakeOver = false } = this.database;
    return {
      admin: this.admin,
      current,
      alternate: `${current}_clone`,
      database: this.admin.database,
      acceptTakeOver,
    };
  }

  as(username: string, password: string): Credentials {
    return { ...this.admin, username, password: secret(password) };
  }

  login(username: string, password: string, witness?: Credentials) {
    return this.engine.login(this.as(username, password), soon(), witness && (async () => witness));
  }
}

function describeLogin(scene: Scene): void {
  describe('login', () => {
    /** Some servers say by themselves why they refuse; all do through a witness. */
    async function expectReason(user: string, reason: string): Promise<void> {
      expect(await scene.login(user, 'current-1')).toEqual({
        kind: 'refused',
        reason: expect.stringMatching(new RegExp(`^(password|${reason})$`)),
      });
      expect(await scene.login(user, 'current-1', scene.admin)).toEqual({ kind: 'refused', reason });
    }

    test('accepts the right password', async () => {
      expect(await scene.login(await scene.newUser(), 'current-1')).toEqual(ACCEPTED);
    });

    test('refuses another password', async () => {
      expect(await scene.login(await scene.newUser(), 'wrong', scene.admin)).toEqual(REFUSED);
    });

    test('tells an unknown user by a witness', async () => {
      await expectReason('nobody', 'no-such-user');
    });

    test('tells an expired password by a witness', async () => {
      const { expire } = scene.database;
      if (expire === undefined) return; // nothing to tell
      const user = await scene.newUser();
      await expire(user);

      await expectReason(user, 'expired');
    });

    test('tells a locked user by a witness, even with a wrong password', async () => {
      const user = await scene.newUser();
      await scene.database.lock(user);

      await expectReason(user, 'locked');
      expect(await scene.login(user, 'wrong', scene.admin)).toEqual({ kind: 'refused', reason: 'locked' });
    });

    test('asks no witness when the server lets the user in', async () => {
      const user = await scene.newUser();
      const witness = async (): Promise<Credentials> => {
        throw new Error('asked for nothing');
      };

      expect(await scene.engine.login(scene.as(user, 'current-1'), soon(), witness)).toEqual(ACCEPTED);
    });

    test.each<[string, () => Promise<Credentials | undefined>]>([
      ['is refused itself', async () => ({ ...scene.admin, password: secret('wrong') })],
      ['is not there after all', async () => undefined],
      ['cannot be had', () => Promise.reject(new Error('no such secret'))],
    ])('stands by a refusal when the witness %s', async (_, witness) => {
      expect(await scene.engine.login(scene.as('nobody', 'any'), soon(), witness)).toEqual(REFUSED);
    });
  });
}

function describeSetPassword(scene: Scene): void {
  describe('setPassword', () => {
    const change = (username: string, acting: Credentials, password = 'current-2'): PasswordChange => ({
      acting,
      username,
      password: secret(password),
    });

    test('by the user itself replaces the password', async () => {
      const user = await scene.newUser();
      await scene.database.letChangeItself?.(user);

      await scene.engine.setPassword(change(user, scene.as(user, 'current-1')), soon());

      expect(await scene.login(user, 'current-2')).toEqual(ACCEPTED);
      expect(await scene.login(user, 'current-1')).toEqual(REFUSED);
    });

    test('by an administrator replaces the password, and may be repeated', async () => {
      const user = await scene.newUser();

      await scene.engine.setPassword(change(user, scene.admin), soon());
      await scene.engine.setPassword(change(user, scene.admin), soon());

      expect(await scene.login(user, 'current-2')).toEqual(ACCEPTED);
      expect(await scene.login(user, 'current-1')).toEqual(REFUSED);
    });

    test('leaves the rights of the user as they are', async () => {
      const user = await scene.newUser();
      await scene.database.letChangeItself?.(user);
      await scene.database.grant(user);

      await scene.engine.setPassword(change(user, scene.as(user, 'current-1')), soon());
      await scene.engine.setPassword(change(user, scene.admin, 'current-3'), soon());

      expect(await scene.database.mayUse(user, 'current-3')).toBe(true);
    });

    test('over a login that is refused says whose it was, and changes nothing', async () => {
      const user = await scene.newUser();

      await expect(scene.engine.setPassword(change(user, scene.as(user, 'wrong')), soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(user),
      });

      expect(await scene.login(user, 'current-1')).toEqual(ACCEPTED);
    });

    test('of a user that does not exist is refused', async () => {
      await expect(scene.engine.setPassword(change('nobody', scene.admin), soon())).rejects.toMatchObject({
        code: 'USERNAME_INVALID',
        message: expect.stringContaining('nobody'),
      });
    });

    test('of another user, by one who is no administrator, is refused and changes nothing', async () => {
      const [user, other] = [await scene.newUser(), await scene.newUser()];

      await expect(scene.engine.setPassword(change(other, scene.as(user, 'current-1')), soon())).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
      });

      expect(await scene.login(other, 'current-1')).toEqual(ACCEPTED);
    });
  });
}

function describeInspect(scene: Scene): void {
  describe('inspect', () => {
    test('tells the version, how long the certificate is good, and that the server takes changes', async () => {
      const facts = await scene.engine.inspect(scene.admin, [], soon());

      expect(facts).toMatchObject({ readOnly: false, sessions: [] });
      expect(facts.version).toContain(scene.database.version);
      if (facts.certificate === undefined) return; // a database that shows none
      expect(facts.certificate.issuer).not.toBe('');
      expect(facts.certificate.validUntilMs).toBeGreaterThan(Date.now());
    });

    test('tells the sessions of the users asked about, and of no other', async () => {
      const [one, two, three] = [await scene.newUser(), await scene.newUser(), await scene.newUser()];
      const ends = [];
      for (const [user, name] of [
        [one, 'nightly-report'],
        [two, 'web'],
        [three, 'other'],
      ] as const)
        ends.push(await scene.database.openSession(user, 'current-1', name));
      try {
        const { sessions } = await scene.engine.inspect(scene.admin, [one, two, 'nobody'], soon());

        expect(sessions).toEqual([
          expect.objectContaining({ user: one, applicationName: 'nightly-report' }),
          expect.objectContaining({ user: two, applicationName: 'web' }),
        ]);
      } finally {
        for (const end of ends) await end();
      }
    });

    test("leaves the observer's own session out", async () => {
      // Those before this one may be there for a moment: nobody waits until the server has closed them.
      await eventually('no session but its own', async () => {
        const { sessions } = await scene.engine.inspect(scene.admin, [scene.admin.username], soon());
        return Array.isArray(sessions) && sessions.length === 0;
      });
    });

    test('may be asked by any user that logs in, who is told what it would take to see sessions', async () => {
      const user = await scene.newUser();

      const { sessions } = await scene.engine.inspect(scene.as(user, 'current-1'), [user], soon());

      expect([[], { needs: expect.stringContaining(user) }]).toContainEqual(sessions);
    });

    test('over a login that is refused says whose it was', async () => {
      await expect(scene.engine.inspect(scene.as('nobody', 'any'), [], soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining('nobody'),
      });
    });
  });
}

function describeAlternatingUsers(scene: Scene): void {
  describe('alternating users', () => {
    const alternating = (): AlternatingUsersEngine => {
      const found = scene.engine.alternatingUsers;
      if (found === undefined) throw new Error('the engine does not know alternating users');
      return found;
    };
    const prepare = (pair: AdministeredPair, password: string, stillWanted = async () => true) =>
      alternating().prepareAlternate(pair, secret(password), stillWanted, soon());
    /** What they differ in, as whoever may see it. */
    const differences = (pair: AdministeredPair, passwordOfCurrent = 'current-1') =>
      alternating().differences(
        pair,
        alternating().observer === 'administrator' ? pair.admin : scene.as(pair.current, passwordOfCurrent),
        soon(),
      );
    const disable = (pair: AdministeredPair, stillWanted = async () => true) =>
      alternating().disableAlternate(pair, stillWanted, soon());

    test('prepareAlternate changes nothing when it is no longer wanted', async () => {
      const pair = await scene.newPair();
      expect(await prepare(pair, 'alternate-1', async () => false)).toBe('notWanted');
      expect((await scene.login(pair.alternate, 'alternate-1')).kind).toBe('refused');

      expect(await prepare(pair, 'alternate-1')).toBe('prepared');
      expect(await prepare(pair, 'alternate-2', async () => false)).toBe('notWanted');

      expect(await scene.login(pair.alternate, 'alternate-1')).toEqual(ACCEPTED);
      expect((await scene.login(pair.alternate, 'alternate-2')).kind).toBe('refused');
    });

    test('prepareAlternate creates a user that can do what the current one can', async () => {
      const pair = await scene.newPair();
      await scene.database.grant(pair.current);

      await prepare(pair, 'alternate-1');

      expect(await scene.database.mayUse(pair.alternate, 'alternate-1')).toBe(true);
      expect(await differences(pair)).toEqual([]);
    });

    test('prepareAlternate leaves the current user alone', async () => {
      const pair = await scene.newPair();
      await scene.database.grant(pair.current);

      await prepare(pair, 'alternate-1');

      expect(await scene.database.mayUse(pair.current, 'current-1')).toBe(true);
    });

    test('prepareAlternate may be repeated', async () => {
      const pair = await scene.newPair();
      await prepare(pair, 'alternate-1');

      await prepare(pair, 'alternate-1');

      expect(await scene.login(pair.alternate, 'alternate-1')).toEqual(ACCEPTED);
      expect(await differences(pair)).toEqual([]);
    });

    test('prepareAlternate at the same moment twice ends as once', async () => {
      const pair = await scene.newPair();
      await scene.database.grant(pair.current);

      await Promise.all([prepare(pair, 'alternate-1'), prepare(pair, 'alternate-1')]);

      expect(await scene.database.mayUse(pair.alternate, 'alternate-1')).toBe(true);
      expect(await differences(pair)).toEqual([]);
    });

    test('prepareAlternate works back and forth, and a right given in between reaches both', async () => {
      const there = await scene.newPair();
      await prepare(there, 'alternate-1');
      await scene.database.grant(there.alternate);
      const back = { ...there, current: there.alternate, alternate: there.current };

      await prepare(back, 'current-2');

      expect(await scene.database.mayUse(there.current, 'current-2')).toBe(true);
      expect(await scene.database.mayUse(there.alternate, 'alternate-1')).toBe(true);
      expect(await differences(back, 'alternate-1')).toEqual([]);
    });

    test('a right taken from the current user is gone from the alternate one after the next rotation', async () => {
      const pair = await scene.newPair();
      await scene.database.grant(pair.current);
      await prepare(pair, 'alternate-1');
      await scene.database.revoke(pair.current);

      await prepare(pair, 'alternate-2');

      expect(await scene.database.mayUse(pair.alternate, 'alternate-2')).toBe(false);
    });

    test('differences names a missing user, and changes nothing', async () => {
      const pair = await scene.newPair();

      expect(await differences(pair)).toEqual([`${pair.alternate} does not exist`]);
      expect(await differences(pair)).toEqual([`${pair.alternate} does not exist`]);
    });

    test('differences names a right that the alternate user alone has', async () => {
      const pair = await scene.newPair();
      await prepare(pair, 'alternate-1');
      await scene.database.grant(pair.alternate);

      expect(await differences(pair)).toHaveLength(1);
    });

    test('differences are the same whichever of the two users looks, where either may', async () => {
      if (alternating().observer !== 'either-user') return; // for an administrator to see
      const pair = await scene.newPair();
      await prepare(pair, 'alternate-1');
      await scene.database.grant(pair.alternate);

      const seen = await alternating().differences(pair, scene.as(pair.alternate, 'alternate-1'), soon());

      expect(seen).toEqual(await differences(pair));
    });

    test('differences over a login that is refused says whose it was', async () => {
      const pair = await scene.newPair();

      await expect(alternating().differences(pair, scene.as('nobody', 'any'), soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining('nobody'),
      });
    });

    test('missingForAlternate is empty for an administrator who may do it all, and changes nothing', async () => {
      const pair = await scene.newPair();

      expect(await alternating().missingForAlternate(pair, soon())).toEqual([]);
      expect(await differences(pair)).toEqual([`${pair.alternate} does not exist`]);
    });

    test('refuses a current user that does not exist', async () => {
      const pair = { ...(await scene.newPair()), current: 'nobody' };

      await expect(prepare(pair, 'x')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });

    test('41: refuses to rotate the administrator with itself', async () => {
      const pair = { ...(await scene.newPair()), alternate: scene.admin.username };

      await expect(prepare(pair, 'x')).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
      await expect(disable(pair)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
      expect(await scene.engine.login(scene.admin, soon())).toEqual(ACCEPTED);
    });

    test('refuses an administrator whom the server refuses, and says whose login it was', async () => {
      const pair = { ...(await scene.newPair()), admin: { ...scene.admin, password: secret('wrong') } };

      await expect(prepare(pair, 'x')).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(scene.admin.username),
      });
    });

    describe('disableAlternate', () => {
      async function prepared(): Promise<AdministeredPair> {
        const pair = await scene.newPair();
        await prepare(pair, 'alternate-1');
        return pair;
      }

      test('ends the login of the alternate user alone', async () => {
        const pair = await prepared();

        expect(await disable(pair)).toEqual({ kind: 'disabled' });

        expect((await scene.login(pair.alternate, 'alternate-1')).kind).toBe('refused');
        expect(await scene.login(pair.current, 'current-1')).toEqual(ACCEPTED);
      });

      test('may be repeated', async () => {
        const pair = await prepared();
        await disable(pair);

        expect(await disable(pair)).toEqual({ kind: 'disabled' });
      });

      test('of a user that is gone has nothing to do', async () => {
        expect(await disable(await scene.newPair())).toEqual({ kind: 'disabled' });
      });

      test('changes nothing when it is no longer wanted', async () => {
        const pair = await prepared();

        expect(await disable(pair, async () => false)).toEqual({ kind: 'notWanted' });

        expect(await scene.login(pair.alternate, 'alternate-1')).toEqual(ACCEPTED);
      });

      test('changes nothing while a session of that user is open, and says whose it is', async () => {
        const pair = await prepared();
        const end = await scene.database.openSession(pair.alternate, 'alternate-1', 'nightly-report');
        try {
          expect(await disable(pair)).toEqual({
            kind: 'sessionsOpen',
            sessions: [
              {
                applicationName: 'nightly-report',
                clientAddress: '127.0.0.1',
                since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
              },
            ],
          });
          expect(await scene.login(pair.alternate, 'alternate-1')).toEqual(ACCEPTED);
        } finally {
          await end();
        }
      });

      test('is undone by the next prepareAlternate, rights and all', async () => {
        const pair = await prepared();
        await scene.database.grant(pair.current);
        await disable(pair);

        await prepare(pair, 'alternate-2');

        expect(await scene.database.mayUse(pair.alternate, 'alternate-2')).toBe(true);
        expect(await differences(pair)).toEqual([]);
      });
    });
  });
}

function describeUserPair(scene: Scene): void {
  describe('a user pair', () => {
    const peers = (): UserPairEngine => {
      const found = scene.engine.userPair;
      if (found === undefined) throw new Error('the engine does not know a user pair');
      return found;
    };

    interface Peers extends AdministeredPair {
      readonly first: Credentials;
      readonly second: Credentials;
    }

    /** Two peers with the passwords `current-1` and `peer-1`. */
    async function newPeers(before?: (pair: AdministeredPair) => Promise<void>): Promise<Peers> {
      const pair = await scene.newPair();
      await before?.(pair);
      await peers().createPeer(pair, secret('peer-1'), soon());
      return { ...pair, first: scene.as(pair.current, 'current-1'), second: scene.as(pair.alternate, 'peer-1') };
    }

    test('createPeer makes a user that logs in and can do what the current one can', async () => {
      const { current, alternate, first, second } = await newPeers((pair) => scene.database.grant(pair.current));

      expect(await scene.database.mayUse(alternate, 'peer-1')).toBe(true);
      expect(await scene.database.mayUse(current, 'current-1')).toBe(true);
      expect(await peers().peerDifferences(first, second, soon())).toEqual([]);
      expect(await peers().peerDifferences(second, first, soon())).toEqual([]);
    });

    test('createPeer may be repeated, and then changes the password of the peer alone', async () => {
      const pair = await newPeers((before) => scene.database.grant(before.current));

      await peers().createPeer(pair, secret('peer-2'), soon());

      expect(await scene.database.mayUse(pair.alternate, 'peer-2')).toBe(true);
      expect(await scene.login(pair.alternate, 'peer-1')).toEqual(REFUSED);
      expect(await scene.login(pair.current, 'current-1')).toEqual(ACCEPTED);
    });

    test('createPeer works from the other of the two as well', async () => {
      const pair = await newPeers((before) => scene.database.grant(before.current));
      const back = { ...pair, current: pair.alternate, alternate: pair.current };

      await peers().createPeer(back, secret('current-2'), soon());

      expect(await scene.database.mayUse(pair.current, 'current-2')).toBe(true);
      expect(await scene.database.mayUse(pair.alternate, 'peer-1')).toBe(true);
      expect(await peers().peerDifferences(pair.second, scene.as(pair.current, 'current-2'), soon())).toEqual([]);
    });

    test('createPeer refuses a current user that does not exist', async () => {
      const pair = { ...(await scene.newPair()), current: 'nobody' };

      await expect(peers().createPeer(pair, secret('x'), soon())).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });

    test('41: createPeer refuses to make the administrator a peer', async () => {
      const pair = { ...(await scene.newPair()), alternate: scene.admin.username };

      await expect(peers().createPeer(pair, secret('x'), soon())).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
      expect(await scene.engine.login(scene.admin, soon())).toEqual(ACCEPTED);
    });

    test('each of the two changes its own password, and the other one goes on', async () => {
      const { current, alternate, first, second } = await newPeers((pair) => scene.database.grant(pair.current));

      await scene.engine.setPassword({ acting: second, username: alternate, password: secret('peer-2') }, soon());
      await scene.engine.setPassword({ acting: first, username: current, password: secret('current-2') }, soon());

      expect(await scene.database.mayUse(alternate, 'peer-2')).toBe(true);
      expect(await scene.database.mayUse(current, 'current-2')).toBe(true);
      expect(await scene.login(alternate, 'peer-1')).toEqual(REFUSED);
      expect(await scene.login(current, 'current-1')).toEqual(REFUSED);
    });

    test('neither of the two can change the password of the other', async () => {
      const { current, alternate, first, second } = await newPeers();

      for (const [acting, username] of [
        [first, alternate],
        [second, current],
      ] as const)
        await expect(
          scene.engine.setPassword({ acting, username, password: secret('evil') }, soon()),
        ).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });

      expect(await scene.engine.login(first, soon())).toEqual(ACCEPTED);
      expect(await scene.engine.login(second, soon())).toEqual(ACCEPTED);
    });

    test('a right that one of the two alone has is a difference, whichever of them is current', async () => {
      const { first, second, current } = await newPeers();
      await scene.database.grant(current);

      expect(await peers().peerDifferences(first, second, soon())).not.toEqual([]);
      expect(await peers().peerDifferences(second, first, soon())).not.toEqual([]);
    });

    test('a right that one of the two alone has is both of theirs after createPeer', async () => {
      const { first, second, current, alternate, ...pair } = await newPeers();
      await scene.database.grant(current);

      await peers().createPeer({ ...pair, current, alternate }, secret('peer-1'), soon());

      expect(await scene.database.mayUse(alternate, 'peer-1')).toBe(true);
      expect(await peers().peerDifferences(first, second, soon())).toEqual([]);
    });

    test('peerDifferences over a login that is refused says whose it was', async () => {
      const { first, second, alternate } = await newPeers();

      await expect(
        peers().peerDifferences(first, { ...second, password: secret('wrong') }, soon()),
      ).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(alternate),
        username: alternate,
        refusal: { kind: 'refused', reason: 'password' },
      });
    });

    test('changePeer gives the other user a password, over its own login', async () => {
      const { first, second, current, alternate } = await newPeers((before) => scene.database.grant(before.current));

      expect(await peers().changePeer({ current: first, other: second }, secret('peer-2'), soon())).toEqual({
        kind: 'changed',
      });

      expect(await scene.database.mayUse(alternate, 'peer-2')).toBe(true);
      expect(await scene.login(alternate, 'peer-1')).toEqual(REFUSED);
      expect(await scene.login(current, 'current-1')).toEqual(ACCEPTED);
    });

    test('changePeer changes nothing while the two differ, whichever of them is current', async () => {
      const { first, second, current, alternate } = await newPeers();
      await scene.database.grant(current);

      for (const [from, to] of [
        [first, second],
        [second, first],
      ] as const) {
        const change = await peers().changePeer({ current: from, other: to }, secret('peer-2'), soon());
        expect(change).toEqual({ kind: 'differ', differences: expect.arrayContaining([expect.any(String)]) });
      }

      expect(await scene.login(alternate, 'peer-1')).toEqual(ACCEPTED);
      expect(await scene.login(current, 'current-1')).toEqual(ACCEPTED);
    });

    test('changePeer says which of the two the server refuses, and changes nothing', async () => {
      const { first, second, alternate } = await newPeers();
      const wrong = secret('wrong');
      const change = (current: Credentials, other: Credentials) =>
        peers().changePeer({ current, other }, secret('peer-2'), soon());

      const refusal = { kind: 'refused', reason: 'password' };
      expect(await change({ ...first, password: wrong }, second)).toEqual({
        kind: 'refused',
        login: 'current',
        refusal,
      });
      expect(await change(first, { ...second, password: wrong })).toEqual({ kind: 'refused', login: 'other', refusal });

      expect(await scene.login(alternate, 'peer-1')).toEqual(ACCEPTED);
    });

    test('ownSessions tells the sessions of that user besides the one that asks', async () => {
      const { first, second, alternate } = await newPeers();
      const end = await scene.database.openSession(alternate, 'peer-1', 'nightly-report');
      try {
        expect(await peers().ownSessions(second, soon())).toEqual([
          {
            applicationName: 'nightly-report',
            clientAddress: '127.0.0.1',
            since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          },
        ]);
        expect(await peers().ownSessions(first, soon())).toEqual([]);
      } finally {
        await end();
      }
    });

    test('ownSessions over a login that is refused says whose it was', async () => {
      await expect(peers().ownSessions(scene.as('nobody', 'any'), soon())).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining('nobody'),
      });
    });
  });
}

function describeDualPassword(scene: Scene): void {
  describe('two passwords', () => {
    const dual = (): DualPasswordEngine => {
      const found = scene.engine.dualPassword;
      if (found === undefined) throw new Error('the engine does not know two passwords');
      return found;
    };

    async function newUser(): Promise<string> {
      const user = await scene.newUser();
      await scene.database.letKeepOld?.(user);
      return user;
    }
    const add = (
      user: string,
      password: string,
      acting = scene.admin,
      present = 'current-1',
      stillWanted = async () => true,
    ) =>
      dual().addPassword(
        { acting, username: user, password: secret(password), present: scene.as(user, present) },
        stillWanted,
        soon(),
      );
    const discard = (user: string, kept: string, stillWanted = async () => true) =>
      dual().discardOld({ acting: scene.admin, kept: scene.as(user, kept) }, stillWanted, soon());
    /** Which of these passwords the server accepts. */
    async function accepted(user: string, ...passwords: string[]): Promise<string[]> {
      const found = [];
      for (const password of passwords)
        if ((await scene.login(user, password)).kind === 'accepted') found.push(password);
      return found;
    }

    test('mayKeepOld is true for a user that was let', async () => {
      expect(await dual().mayKeepOld(scene.as(await newUser(), 'current-1'), soon())).toBe(true);
    });

    test('rehearse passes for the administrator and for a user that was let, and changes nothing', async () => {
      const user = await newUser();
      await scene.database.letChangeItself?.(user);

      await dual().rehearse({ acting: scene.admin, username: user }, soon());
      await dual().rehearse({ acting: scene.as(user, 'current-1'), username: user }, soon());

      expect(await accepted(user, 'current-1')).toEqual(['current-1']);
    });

    test('rehearse by a user that may not change another one names what it lacks', async () => {
      const [user, stranger] = [await newUser(), await newUser()];
      const change = { acting: scene.as(stranger, 'current-1'), username: user };

      await expect(dual().rehearse(change, soon())).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    });

    test('rehearse by an administrator that is refused is LOGIN_REFUSED, and USERNAME_INVALID of a user that is not there', async () => {
      const change = { acting: { ...scene.admin, password: secret('wrong') }, username: await newUser() };

      await expect(dual().rehearse(change, soon())).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
      await expect(dual().rehearse({ acting: scene.admin, username: 'nobody' }, soon())).rejects.toMatchObject({
        code: 'USERNAME_INVALID',
      });
    });

    test('addPassword by an administrator makes both passwords valid', async () => {
      const user = await newUser();

      expect(await add(user, 'second')).toBe('added');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1', 'second']);
    });

    test('addPassword by the user itself makes both passwords valid', async () => {
      const user = await newUser();
      await scene.database.letChangeItself?.(user);

      expect(await add(user, 'second', scene.as(user, 'current-1'))).toBe('added');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1', 'second']);
    });

    test('addPassword repeated changes nothing', async () => {
      const user = await newUser();
      await add(user, 'second');

      expect(await add(user, 'second')).toBe('alreadyAdded');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1', 'second']);
    });

    test('addPassword by several at the same moment never pushes the present password out', async () => {
      const user = await newUser();

      const outcomes = await Promise.all([add(user, 'second'), add(user, 'second'), add(user, 'second')]);

      expect(outcomes.sort()).toEqual(['added', 'alreadyAdded', 'alreadyAdded']);
      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1', 'second']);
    });

    test('addPassword leaves the present password and the new one, and no third', async () => {
      const user = await newUser();
      await add(user, 'second');

      expect(await add(user, 'third')).toBe('added');

      expect(await accepted(user, 'current-1', 'second', 'third')).toEqual(['current-1', 'third']);
    });

    test('addPassword goes on from the newer of two passwords', async () => {
      const user = await newUser();
      await add(user, 'second');
      await discard(user, 'second');

      expect(await add(user, 'third', scene.admin, 'second')).toBe('added');

      expect(await accepted(user, 'current-1', 'second', 'third')).toEqual(['second', 'third']);
    });

    test('addPassword leaves the rights of the user as they are', async () => {
      const user = await newUser();
      await scene.database.grant(user);

      await add(user, 'second');

      expect(await scene.database.mayUse(user, 'second')).toBe(true);
      expect(await scene.database.mayUse(user, 'current-1')).toBe(true);
    });

    test('addPassword over a login that is refused says whose it was, and changes nothing', async () => {
      const user = await newUser();

      await expect(add(user, 'second', { ...scene.admin, password: secret('wrong') })).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(scene.admin.username),
      });

      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1']);
    });

    test('discardOld leaves the kept password alone', async () => {
      const user = await newUser();
      await add(user, 'second');

      expect(await discard(user, 'second')).toBe('discarded');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['second']);
    });

    test('discardOld may be repeated', async () => {
      const user = await newUser();
      await add(user, 'second');
      await discard(user, 'second');

      expect(await discard(user, 'second')).toBe('discarded');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['second']);
    });

    test.each(['an administrator', 'the user itself'])(
      'addPassword by %s changes nothing when it is no longer wanted',
      async (who) => {
        const user = await newUser();
        await scene.database.letChangeItself?.(user);
        const acting = who === 'an administrator' ? scene.admin : scene.as(user, 'current-1');

        expect(await add(user, 'second', acting, 'current-1', async () => false)).toBe('notWanted');

        expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1']);
      },
    );

    test('discardOld changes nothing when it is no longer wanted', async () => {
      const user = await newUser();
      await add(user, 'second');

      expect(await discard(user, 'second', async () => false)).toBe('notWanted');

      expect(await accepted(user, 'current-1', 'second')).toEqual(['current-1', 'second']);
    });
  });
}
