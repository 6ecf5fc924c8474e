import { createHash } from 'node:crypto';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { type Command, type Connection, fieldsIn, type Greeting, type Reply, SET_ONE } from './redis-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './redis-errors.ts';

/** A user as ACL GETUSER shows it. */
export interface AclUser {
  readonly name: string;
  /** Whether it may log in at all. */
  readonly on: boolean;
  /** Any password is taken. */
  readonly noPassword: boolean;
  /** SHA-256, hexadecimal. */
  readonly passwords: readonly string[];
}

/** What the server keeps of a password. Given as `#…`, the password itself is in no command, and so in no record of one. */
export const hashOf = (password: SecretValue): string => createHash('sha256').update(password.expose()).digest('hex');

export const getUser = (name: string): Command => ['ACL', 'GETUSER', name];

/** @returns undefined where there is no such user */
export function userIn(name: string, reply: Reply): AclUser | undefined {
  if (reply === null) return undefined;
  const fields = fieldsIn(reply);
  const texts = (field: string): readonly string[] => {
    const value = fields.get(field);
    return Array.isArray(value) ? value.map(String) : [];
  };
  const flags = texts('flags');
  return { name, on: flags.includes('on'), noPassword: flags.includes('nopass'), passwords: texts('passwords') };
}

/** Redis itself takes any other name. @throws RekeyError USERNAME_INVALID */
export function requireUserName(name: string): void {
  if (name === '' || /[\s\0]/.test(name))
    throw new RekeyError('USERNAME_INVALID', 'the user name is empty, or has a blank or a NUL in it');
}

/** What whoever changes a password must be allowed to run. */
const RIGHTS = '+multi +exec +info +acl|whoami +acl|getuser +acl|setuser +acl|save +acl|list +config|rewrite';

/** As redis-cli and valkey-cli read it: a quote in a name begins a text. */
export const granting = (username: string, rights: string): string =>
  `ACL SETUSER ${/["']/.test(username) ? JSON.stringify(username) : username} ${rights}`;

/** One who acts: every refusal is a failure, with what would cure it. */
export interface Acting {
  readonly username: string;
  readonly host: string;
}

/** @throws RekeyError */
export function accepted(answer: Reply | undefined, { username, host }: Acting): Reply {
  if (answer === undefined) return null;
  if (!(answer instanceof ServerRefusal)) return answer;
  if (answer.kind === 'no-right')
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `${username} may not change the passwords of users at ${host}`,
      `Run: ${granting(username, RIGHTS)} (whoever has these can give itself every other right: let only an administrator have them, and name it in masterarn)`,
    );
  throw refusalAsRekeyError(answer, `the database at ${host}, asked by ${username},`);
}

/** @throws RekeyError USERNAME_INVALID, AUTHENTICATION_UNSAFE */
export function requireUser(name: string, reply: Reply): AclUser {
  const user = userIn(name, reply);
  // ACL SETUSER would create it.
  if (user === undefined) throw new RekeyError('USERNAME_INVALID', `the user "${name}" does not exist`);
  if (user.noPassword)
    throw new RekeyError('AUTHENTICATION_UNSAFE', `the server lets the user "${name}" in with any password`, SET_ONE);
  return user;
}

/**
 * Each node has users of its own: they are neither replicated nor shared within a cluster. A password that is changed
 * on one node alone is refused by the others, after the next fail-over if not before.
 * @param info the answer to INFO replication persistence
 * @throws RekeyError DATABASE_READ_ONLY, DATABASE_BUSY, DATABASE_UNSUPPORTED
 */
export function requireOnlyNode({ greeting }: Connection, info: Reply, host: string): void {
  if (isReplica(greeting)) throw new RekeyError('DATABASE_READ_ONLY', `the database at ${host} is a replica`);
  // One that restarts comes back, and so does a primary that this server has taken over from: the backlog is kept for them.
  const hasReplicas = /^(connected_slaves:[1-9]|repl_backlog_active:1)/m.test(String(info));
  if (greeting.mode === 'standalone' && !hasReplicas) return;
  // Every server has a backlog while it loads its data, and keeps it where the data say that there were replicas.
  if (/^loading:1/m.test(String(info))) throw new RekeyError('DATABASE_BUSY', `the database at ${host} is starting up`);
  const what = hasReplicas ? 'has replicas, or had them of late' : `runs in ${greeting.mode} mode`;
  throw new RekeyError(
    'DATABASE_UNSUPPORTED',
    `the database at ${host} ${what}, and every node has users and passwords of its own`,
    'Rekey changes one server alone: rotate this user where all of its nodes are changed together. A server whose replicas are gone for good forgets them after repl-backlog-ttl, an hour by default.',
  );
}

export const isReplica = ({ role }: Greeting): boolean => role === 'replica' || role === 'slave';

/** What makes the users outlive a restart; undefined where the server has no file to keep them in. */
export type Save = readonly ['ACL', 'SAVE'] | readonly ['CONFIG', 'REWRITE'] | undefined;

/**
 * Finds out by doing it: only so is it known beforehand that it is permitted, and that the file can be written.
 * @throws RekeyError PRIVILEGE_MISSING, DATABASE_ERROR, DATABASE_UNSUPPORTED
 */
export async function wayToSave(connection: Connection, acting: Acting): Promise<Save> {
  // In a transaction as well: where MULTI is not permitted, the commands behind it are not held back by it.
  const [aclFile] = await transaction(connection, [['ACL', 'SAVE']], acting);
  if (!isRefusal(aclFile, 'no-acl-file')) {
    accepted(aclFile, acting);
    return ['ACL', 'SAVE'];
  }
  await requireNoQuote(connection, acting);
  const [configFile] = await connection.send(['CONFIG', 'REWRITE']);
  if (isRefusal(configFile, 'no-config-file')) return undefined;
  if (isRefusal(configFile, 'no-such-command'))
    throw new RekeyError(
      'DATABASE_UNSUPPORTED',
      `the database at ${acting.host} cannot save its users: it has no ACL file, and CONFIG is switched off`,
      'Let the server keep its users in an ACL file (aclfile).',
    );
  accepted(configFile, acting);
  return ['CONFIG', 'REWRITE'];
}

/**
 * CONFIG REWRITE writes quotes as they are, and the server refuses to start with the file (seen in Redis 7.0, 8.0 and
 * Valkey 9.1).
 * @throws RekeyError DATABASE_UNSUPPORTED, PRIVILEGE_MISSING
 */
async function requireNoQuote({ send }: Connection, acting: Acting): Promise<void> {
  const [users] = await send(['ACL', 'LIST']);
  if (/["']/.test(String(accepted(users, acting))))
    throw new RekeyError(
      'DATABASE_UNSUPPORTED',
      `a user of the database at ${acting.host} has a quote in its name or its rules, which its configuration file cannot keep`,
      'Let the server keep its users in an ACL file (aclfile), or remove that user: with CONFIG REWRITE it would not start again.',
    );
}

/**
 * Asks for what every change asks for, in a transaction that is left without its end, so that nothing of it is done:
 * whether a command is permitted, the server says when it takes it down. Whether CONFIG REWRITE will be needed stays
 * unknown where CONFIG GET is not permitted.
 * @throws RekeyError PRIVILEGE_MISSING, DATABASE_UNSUPPORTED
 */
export async function rehearseChange(connection: Connection, name: string, acting: Acting): Promise<void> {
  const { send } = connection;
  const [aclFile = null] = await send(['CONFIG', 'GET', 'aclfile']);
  const hasNoAclFile = fieldsIn(aclFile).get('aclfile') === '';
  if (hasNoAclFile) await requireNoQuote(connection, acting);
  // First: without it the server would do the rest at once. An empty transaction is one that may be carried out.
  const begun = await send(['MULTI'], ['EXEC'], ['MULTI']);
  for (const answer of begun) accepted(answer, acting);
  const rewrite: readonly Command[] = hasNoAclFile ? [['CONFIG', 'REWRITE']] : [];
  const answers = await send(getUser(name), ['ACL', 'SETUSER', name], ['ACL', 'SAVE'], ...rewrite);
  for (const answer of answers) accepted(answer, acting);
}

const isRefusal = (answer: Reply | undefined, kind: ServerRefusal['kind']): boolean =>
  answer instanceof ServerRefusal && answer.kind === kind;

/**
 * Changes the passwords of a user and saves them, with nothing in between; what cannot be saved is taken back.
 * @param modifiers of ACL SETUSER; one that removes a password which is gone makes the server refuse them all
 * @returns the user as it was just before, or undefined where such a password was gone
 * @throws RekeyError
 */
export async function changePasswords(
  connection: Connection,
  name: string,
  modifiers: readonly string[],
  save: Save,
  acting: Acting,
): Promise<AclUser | undefined> {
  const setUser: Command = ['ACL', 'SETUSER', name, ...modifiers];
  const commands = [getUser(name), setUser, ...(save === undefined ? [] : [save])];
  const [before, changed, saved] = await transaction(connection, commands, acting);
  if (isRefusal(changed, 'password-gone')) return undefined;
  accepted(changed, acting);
  const user = requireUser(name, accepted(before, acting));
  // Else the next attempt would find the password in use already, and a restart would bring the old one back.
  if (saved instanceof ServerRefusal)
    await connection.send(['ACL', 'SETUSER', name, 'resetpass', ...user.passwords.map((each) => `#${each}`)]);
  accepted(saved, acting);
  return user;
}

/** Modifiers that change nothing, and make the server refuse all that come with them where the password is gone. */
export const stillHaving = (hash: string): readonly string[] => [`!${hash}`, `#${hash}`];

/**
 * Of a transaction that does not reach the server to its end, nothing is done.
 * @returns an answer to each command
 * @throws RekeyError where the server does not take the commands; then none of them is done
 */
async function transaction(
  { send }: Connection,
  commands: readonly Command[],
  acting: Acting,
): Promise<readonly Reply[]> {
  const answers = await send(['MULTI'], ...commands, ['EXEC']);
  const results = answers.map((answer) => accepted(answer, acting)).at(-1);
  return Array.isArray(results) ? results : [];
}
