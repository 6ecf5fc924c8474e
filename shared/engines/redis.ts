import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { OpenSession } from '../operations/events.ts';
import type { Credentials, DatabaseEngine, Login, RefusalReason, Rehearsal, ServerFacts } from './port.ts';
import { type Command, type Connection, fieldsIn, type Reply, withConnection } from './redis-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './redis-errors.ts';
import {
  type AclUser,
  accepted,
  changePasswords,
  getUser,
  granting,
  hashOf,
  isReplica,
  rehearseChange,
  requireOnlyNode,
  requireUser,
  requireUserName,
  stillHaving,
  userIn,
  wayToSave,
} from './redis-users.ts';
import type { Trust } from './tls.ts';
import { reasonSeenBy } from './witness.ts';

export interface RedisOptions extends Trust {
  readonly clock: Clock;
}

export type RedisEngine = DatabaseEngine & Required<Pick<DatabaseEngine, 'rehearse' | 'dualPassword'>>;

/** How often someone else's change of the same user is met before it is given up. */
const ATTEMPTS = 5;

/** Redis and Valkey, by their ACL: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ */
export function createRedisEngine({ clock, ...trust }: RedisOptions): RedisEngine {
  return {
    name: 'redis',

    async login(credentials, deadline, witness): Promise<Login> {
      requireUserName(credentials.username);
      try {
        return await withConnection(credentials, trust, deadline, selecting(credentials), async ({ opening }) => {
          requireSelected(opening, credentials);
          return { kind: 'accepted' };
        });
      } catch (error) {
        if (!(error instanceof ServerRefusal)) throw error;
        if (error.kind !== 'wrong-password') throw refusalAsRekeyError(error, `the database at ${credentials.host}`);
        const look = (as: Credentials) => reasonOf(credentials.username, as, deadline);
        return { kind: 'refused', reason: await reasonSeenBy(witness, 'password', look) };
      }
    },

    async setPassword({ acting, username, password }, deadline) {
      await changing(acting, username, deadline, ({ change }) => change('resetpass', `#${hashOf(password)}`));
    },

    rehearse,

    async inspect(observer, users, deadline) {
      const questions: readonly Command[] = [
        ['CLIENT', 'LIST'],
        ['INFO', 'server'],
        ['CONFIG', 'GET', 'aclfile'],
      ];
      return asUser(observer, deadline, questions, async ({ greeting, certificate, opening }): Promise<ServerFacts> => {
        const [clients = null, info = null, aclFile = null] = opening;
        const { product, version, connectionId } = greeting;
        return {
          version: `${PRODUCTS[product] ?? product} ${version}`,
          certificate,
          readOnly: isReplica(greeting),
          sessions:
            clients instanceof ServerRefusal
              ? { needs: granting(observer.username, '+client|list') }
              : sessionsIn(clients, connectionId, clock.now()).filter(({ user }) => users.includes(user)),
          passwordPolicy: [...policyIn(keepsUsersInNoFile(info, aclFile))],
        };
      });
    },

    dualPassword: {
      // A user may have any number of passwords, and whoever may change one may add one.
      mayKeepOld: async () => true,
      rehearse,

      async addPassword({ acting, username, password, present }, stillWanted, deadline) {
        const [added, kept] = [hashOf(password), hashOf(present.password)];
        return changing(acting, username, deadline, async ({ user, change }) => {
          requirePassword(user, kept);
          if (user.passwords.includes(added)) return 'alreadyAdded';
          // Asked after the user was looked at: a password that is added from now on is not among those removed.
          if (!(await stillWanted())) return 'notWanted';
          const before = await change(...stillHaving(kept), `#${added}`, ...removalOf(user, [added, kept]));
          return before && (before.passwords.includes(added) ? 'alreadyAdded' : 'added');
        });
      },

      async discardOld({ acting, kept }, stillWanted, deadline) {
        const hash = hashOf(kept.password);
        return changing(acting, kept.username, deadline, async ({ user, change }) => {
          requirePassword(user, hash);
          if (!(await stillWanted())) return 'notWanted'; // as above
          return (await change(...stillHaving(hash), ...removalOf(user, [hash]))) && 'discarded';
        });
      },
    },
  };

  /** Opens a session as the one who acts: there a refused login is a failure, not an answer. */
  async function asUser<T>(
    credentials: Credentials,
    deadline: Deadline,
    opening: readonly Command[],
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    requireUserName(credentials.username);
    try {
      return await withConnection(credentials, trust, deadline, opening, work);
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      throw refusalAsRekeyError(error, `the database at ${credentials.host}, asked by ${credentials.username},`);
    }
  }

  async function rehearse({ acting, username }: Rehearsal, deadline: Deadline): Promise<void> {
    await onUser(acting, username, deadline, (connection) => rehearseChange(connection, username, acting));
  }

  /**
   * Looks at a user and changes its passwords, and begins again where someone else's change came in between. What was
   * there before is saved first: an earlier attempt may have ended between its change and the saving of it.
   * @param work answers undefined where its change was refused because a password to be removed was gone
   */
  async function changing<T>(
    acting: Credentials,
    username: string,
    deadline: Deadline,
    work: (change: Change) => Promise<T | undefined>,
  ): Promise<T> {
    return onUser(acting, username, deadline, async (connection, found) => {
      let user = found;
      const save = await wayToSave(connection, acting);
      const change = (...modifiers: string[]) => changePasswords(connection, username, modifiers, save, acting);
      for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
        const result = await work({ user, change });
        if (result !== undefined) return result;
        const [now = null] = await connection.send(getUser(username));
        user = requireUser(username, accepted(now, acting));
      }
      throw new RekeyError('DATABASE_BUSY', `the user "${username}" is being changed by someone else all the time`);
    });
  }

  /** @throws RekeyError where the user must not be changed, or not on this server */
  async function onUser<T>(
    acting: Credentials,
    username: string,
    deadline: Deadline,
    work: (connection: Connection, user: AclUser) => Promise<T>,
  ): Promise<T> {
    requireUserName(username);
    // A user that could not work in its database is not changed: afterwards no login would prove its new password.
    const chosen = acting.username === username ? selecting(acting) : [];
    const opening = [...chosen, getUser(username), ['INFO', 'replication', 'persistence']] as const;
    return asUser(acting, deadline, opening, async (connection) => {
      requireSelected(connection.opening.slice(0, chosen.length), acting);
      const [shown = null, info = null] = connection.opening.slice(chosen.length);
      requireOnlyNode(connection, info, acting.host); // before rights, which would be given in vain
      accepted(info, acting);
      return work(connection, requireUser(username, accepted(shown, acting)));
    });
  }

  async function reasonOf(username: string, witness: Credentials, deadline: Deadline): Promise<RefusalReason> {
    return await withConnection(witness, trust, deadline, [getUser(username)], async ({ opening }) => {
      const [shown = null] = opening;
      if (shown instanceof ServerRefusal) throw shown;
      const user = userIn(username, shown);
      if (user === undefined) return 'no-such-user';
      return user.on ? 'password' : 'locked';
    });
  }
}

const PRODUCTS: Readonly<Record<string, string>> = { redis: 'Redis', valkey: 'Valkey' };

interface Change {
  readonly user: AclUser;
  /** @param modifiers of ACL SETUSER. @returns as {@link changePasswords} */
  change(...modifiers: string[]): Promise<AclUser | undefined>;
}

/** One by one, so that a password which was not seen is never removed. */
const removalOf = ({ passwords }: AclUser, kept: readonly string[]): readonly string[] =>
  passwords.filter((each) => !kept.includes(each)).map((each) => `!${each}`);

function requirePassword({ name, passwords }: AclUser, hash: string): void {
  if (!passwords.includes(hash))
    throw new RekeyError('LOGIN_REFUSED', `the password that the secret has of "${name}" is none of its passwords`);
}

/** @throws RekeyError DATABASE_MISSING */
function selecting({ database }: Credentials): readonly Command[] {
  if (!/^(0|[1-9]\d{0,8})$/.test(database)) throw new RekeyError('DATABASE_MISSING', 'the database is not a number');
  return database === '0' ? [] : [['SELECT', database]];
}

/**
 * A right that is missing here is none that an administrator could make up for: the user itself has to choose.
 * @param answers to what {@link selecting} gave
 * @throws RekeyError DATABASE_MISSING; the server's refusal where it is about something else
 */
function requireSelected(answers: readonly Reply[], { host, username, database }: Credentials): void {
  for (const answer of answers) {
    if (!(answer instanceof ServerRefusal)) continue;
    if (answer.kind !== 'no-right') throw answer;
    throw new RekeyError(
      'DATABASE_MISSING',
      `the database at ${host} does not let "${username}" choose the database ${database}`,
      `Run: ${granting(username, '+select')}. Where its rules name databases (db=…, from Valkey 9.1 on), let them name this one. Or correct dbname in the secret.`,
    );
  }
}

function* policyIn(withoutFile: boolean): Iterable<string> {
  yield 'Redis and Valkey have no rules for passwords: any is taken, one that was used before too';
  if (withoutFile)
    yield 'the server has no file to keep its users in: a restart brings back the passwords that it was started with';
}

/** False also where the server does not say. */
function keepsUsersInNoFile(info: Reply, aclFile: Reply): boolean {
  return /^config_file:\r?$/m.test(String(info)) && fieldsIn(aclFile).get('aclfile') === '';
}

/** Lines of `name=value`; Redis has no blank in either. */
function sessionsIn(clients: Reply, observerId: number, nowMs: number): readonly (OpenSession & { user: string })[] {
  if (typeof clients !== 'string') return [];
  const lines = clients.split('\n').filter((line) => line !== '');
  return lines.flatMap((line) => {
    const fields = new Map(line.split(' ').map((field) => [field.replace(/=.*/, ''), field.replace(/^[^=]*=/, '')]));
    if (Number(fields.get('id')) === observerId) return [];
    return {
      user: fields.get('user') ?? '',
      applicationName: fields.get('name') || fields.get('lib-name') || '',
      clientAddress: (fields.get('addr') ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'),
      since: new Date(nowMs - 1_000 * Number(fields.get('age') ?? 0)).toISOString(),
    };
  });
}
