import type { Credentials, Refusal, Witness } from '../engines/port.ts';
import { asRekeyError, hasCode, RekeyError } from '../operations/errors.ts';
import { actionNeeded } from '../operations/events.ts';
import { hostFault } from '../secrets/database-host.ts';
import { type DatabaseLogin, parseBareLogin } from '../secrets/database-secret.ts';
import { CURRENT, PENDING, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import { accepts, parseTags, type SecretOptions } from '../secrets/tags.ts';
import { type Address, type DatabaseResource, sameAddress } from '../topology/port.ts';
import { type DatabaseServer, leadsTo, serverAt, serverOf, serverOfBoth } from '../topology/server.ts';
import { loginAt, readLogin, transportOf } from './secret-reader.ts';
import { loginRefused, type Rotation } from './strategy.ts';

export interface Administrator {
  readonly login: Credentials;
  /** Of its secret: another one means another password. */
  readonly versionId: string;
}

/**
 * The login of the administrator, at the address that takes writes, in the database of the application: the alternate
 * user must be able to use the objects there.
 *
 * Whoever can write the application's secret picks the administrator's. So that one must be of the same account, name
 * this secret in its tag, and be of the same server: at the same address, or one that RDS vouches for. The
 * administrator's password goes to no address, and by no transport, that the application's secret alone knows.
 * @throws RekeyError ADMIN_SECRET_INVALID, SECRET_VALUE_INVALID, SECRET_NOT_FOUND, HOST_NOT_ALLOWED, RDS_…
 */
export async function administratorOf(rotation: Rotation): Promise<Administrator> {
  const { current, secretArn, store, rules } = rotation;
  const masterArn = requireAdministratorNamed(rotation);
  const [secret, staged] = await Promise.all([store.describe(masterArn), store.readStage(masterArn, CURRENT)]);
  if (!staged) throw adminInvalid(rotation, `it has no value labelled ${CURRENT}`);
  // Secrets Manager completes an ARN: a name that ends in a hyphen and six letters looks whole without its suffix.
  if (staged.arn !== masterArn || secret.arn !== masterArn)
    throw adminInvalid(rotation, `it is not the whole ARN of a secret, but leads to ${staged.arn}`);
  const { versionId, value } = staged;
  const options = optionsOf(secret);
  const { database } = current;
  const bare = parseBareLogin(value, { what: `${CURRENT} of ${masterArn}`, rules });
  if (bare) {
    // RDS vouches for the secrets that it makes; a tag on one narrows it down all the same.
    if (options.adminFor) requireNamedByTag(rotation, options);
    const writer = writerOf(rotation, await managedServer(rotation, secret));
    const transport = transportOf(true, { ...rotation, secretArn: masterArn, options });
    return { versionId, login: loginAt({ ...bare, ...writer, database, ...(transport && { transport }) }, writer) };
  }

  requireNamedByTag(rotation, options);
  const admin = await readLogin(value, CURRENT, { ...rotation, secretArn: masterArn, options });
  if (admin.masterArn === secretArn) throw adminInvalid(rotation, 'its own masterarn points back');
  const { username, password, host, port, transport } = admin;
  const login: Credentials = { username, password, host, port, database, ...(transport && { transport }) };
  if (sameAddress(admin, current)) return { versionId, login };
  const server = await serverOfBoth(admin, current, rotation.topology, rotation.deadline);
  if (!server) throw adminInvalid(rotation, ANOTHER_SERVER);
  const writer = writerOf(rotation, server);
  return { versionId, login: sameAddress(admin, writer) ? login : loginAt(login, writer) };
}

/** @throws RekeyError TAG_INVALID that says whose tag it is */
function optionsOf({ arn, tags }: SecretDescription): SecretOptions {
  try {
    return parseTags(tags);
  } catch (error) {
    const { code, message } = asRekeyError(error);
    throw new RekeyError(code, `on the administrator's secret ${arn}: ${message}`);
  }
}

/** @throws RekeyError ADMIN_SECRET_INVALID with the command that adds the secret to the tag */
function requireNamedByTag(rotation: Rotation, { adminFor = [] }: SecretOptions): void {
  const { secretName, current } = rotation;
  if (adminFor.some((name) => name === secretName || (name.endsWith('/') && secretName.startsWith(name)))) return;
  const value = [...adminFor, secretName].join(' ');
  throw new RekeyError(
    'ADMIN_SECRET_INVALID',
    `the tag rekey:admin-for of ${current.masterArn} does not name "${secretName}"`,
    `If this administrator may rotate it, run: aws secretsmanager tag-resource --secret-id '${current.masterArn}' --tags 'Key=rekey:admin-for,Value=${value}'`,
  );
}

/** How long the administrator's own rotation may take from its setSecret to its finishSecret. */
const ADMIN_ROTATION_DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];

/**
 * Work as the administrator. Its secret may be rotated at this very moment: refused, it is read again until it has
 * another value, and only then is that one tried. One login per credential.
 * @param work logs in as the administrator alone, so that LOGIN_REFUSED is about that one; may be repeated
 * @param known the administrator, where it was asked for already
 * @throws RekeyError as {@link administratorOf}, LOGIN_REFUSED
 */
export async function asAdministrator<T>(
  rotation: Rotation,
  work: (admin: Credentials) => Promise<T>,
  known?: Administrator,
): Promise<T> {
  const first = known ?? (await administratorOf(rotation));
  try {
    return await work(first.login);
  } catch (error) {
    if (!hasCode(error, 'LOGIN_REFUSED')) throw error;
    for (const delayMs of ADMIN_ROTATION_DELAYS_MS) {
      if (rotation.deadline.remainingMs() < 2 * delayMs) break;
      await rotation.clock.sleep(delayMs);
      const next = await administratorOf(rotation);
      if (next.versionId === first.versionId) continue;
      return await work(next.login).catch((again: unknown) => {
        throw hasCode(again, 'LOGIN_REFUSED') ? administratorRefused(rotation, again) : again;
      });
    }
    throw administratorRefused(rotation, error);
  }
}

/** As {@link asAdministrator}, who is not the user: its own secret would go on naming a password that is changed here. */
export function asAnotherThan<T>(
  username: string,
  rotation: Rotation,
  work: (admin: Credentials) => Promise<T>,
): Promise<T> {
  return asAdministrator(rotation, async (admin) => {
    if (admin.username === username) throw adminInvalid(rotation, `its user "${username}" is the one to be changed`);
    return work(admin);
  });
}

/** With the secret that it is about, which is not the one that is rotated. */
const administratorRefused = ({ current }: Rotation, { code, what, action }: RekeyError): RekeyError =>
  new RekeyError(code, `${what}: the login of ${current.masterArn}`, action);

/**
 * The last way out when the server knows none of the passwords: it was restored from a snapshot, or someone changed
 * the password by hand. It takes a tag, because it gives whoever writes the secret the user that the secret names. People are told.
 * @param login whose user is to have this password again
 * @param which this login is, for messages
 * @throws RekeyError LOGIN_REFUSED without the tag, without an administrator, or when it was not the password
 */
export async function resetByAdministrator(
  rotation: Rotation,
  login: DatabaseLogin,
  { which, refusal }: { readonly which: string; readonly refusal: Refusal },
): Promise<void> {
  const { options, engine, deadline, log, current, secretArn } = rotation;
  const { username, password } = login;
  if (refusal.reason !== 'password') throw loginRefused(which, refusal);
  if (!accepts(options, 'admin-reset') || current.masterArn === undefined)
    throw loginRefused(which, refusal, HOW_TO_RESET);
  await asAnotherThan(username, rotation, (acting) => engine.setPassword({ acting, username, password }, deadline));
  log.warn('the administrator reset a password, as the tag rekey:accept allows', { secretArn, user: username });
  await announceReset(rotation, username, login === current ? CURRENT : PENDING);
}

const HOW_TO_RESET =
  'Put the password that works into AWSCURRENT. If the database was restored from a snapshot: let masterarn name an administrator and add "admin-reset" to the tag rekey:accept, then rotate; remove it afterwards.';

async function announceReset(rotation: Rotation, username: string, label: string): Promise<void> {
  const { announcer, secretArn, secretName, stages, currentVersion } = rotation;
  const versionId = versionWithStage({ stages }, PENDING) ?? currentVersion;
  const reset = new RekeyError(
    'PASSWORD_RESET',
    `the server refused every password of user "${username}" that is known, so the administrator set one`,
  );
  const stillWorks = `User "${username}" logs in with the password of ${label}, and no other.`;
  await announcer.announce(actionNeeded({ secretArn, secretName, versionId }, reset, stillWorks));
}

/**
 * Whoever wrote this secret must know the password of the user whose rights another one is about to get. A database
 * that was restored does not know it any more: then it takes a person's word, and AWSCURRENT works again at once.
 * @throws RekeyError LOGIN_REFUSED
 */
export async function requireOwnership(rotation: Rotation, witness: Witness): Promise<void> {
  const { engine, current, deadline } = rotation;
  const login = await engine.login(current, deadline, witness);
  if (login.kind === 'refused') await restoreOwnership(rotation, login);
}

/**
 * The same where the server has refused the current login already: it is not tried again.
 * @throws RekeyError LOGIN_REFUSED
 */
export async function restoreOwnership(rotation: Rotation, refusal: Refusal): Promise<void> {
  const { current } = rotation;
  const which = `the current login "${current.username}"`;
  try {
    await resetByAdministrator(rotation, current, { which, refusal });
  } catch (error) {
    // Not the pending password, which would be replaced by another one for it.
    if (hasCode(error, 'PASSWORD_REJECTED'))
      throw loginRefused(`${which}, whose password it does not take as a new one either`, refusal);
    throw error;
  }
}

/**
 * What can be said of `masterarn` without a call.
 * @returns the ARN of the administrator's secret
 * @throws RekeyError ADMIN_SECRET_INVALID, SECRET_VALUE_INVALID when there is none
 */
export function requireAdministratorNamed(rotation: Rotation): string {
  const { secretArn, current } = rotation;
  const { masterArn } = current;
  if (masterArn === undefined)
    throw new RekeyError('SECRET_VALUE_INVALID', `in ${secretArn}: "masterarn" is missing, this strategy needs it`);
  if (masterArn === secretArn) throw adminInvalid(rotation, 'it is the secret itself');
  const [own, its] = [parseSecretArn(secretArn), parseSecretArn(masterArn)];
  if (own?.accountId !== its?.accountId || own?.region !== its?.region)
    throw adminInvalid(rotation, 'it belongs to another account or Region');
  return masterArn;
}

export function adminInvalid({ secretArn, current }: Rotation, why: string): RekeyError {
  return new RekeyError('ADMIN_SECRET_INVALID', `${current.masterArn}, the masterarn of ${secretArn}: ${why}`);
}

const ANOTHER_SERVER = 'its host or port is another one, and RDS knows of no server that both belong to';

/** The server that a secret made by RDS is for, once it is shown that the application's secret names it too. */
async function managedServer(rotation: Rotation, { arn, tags }: SecretDescription): Promise<DatabaseServer> {
  const { current, topology, deadline } = rotation;
  const resource = resourceInTags(rotation, tags);
  const server = await serverOf(resource, topology, deadline);
  if (!server) throw new RekeyError('RDS_DATABASE_NOT_FOUND', `${arn} is for ${resource.id}, which RDS cannot find`);
  if (leadsTo(server, current)) return server;
  // A member or a replica, which the server itself does not list by address.
  const its = await serverAt(current, topology, deadline);
  if (its?.arn !== server.arn) throw adminInvalid(rotation, ANOTHER_SERVER);
  return server;
}

/**
 * `aws:rds:primaryDBInstanceArn` or `aws:rds:primaryDBClusterArn`, which RDS puts on the secrets that it makes. They can
 * be trusted: nobody else can set a tag that begins with `aws:` (Secrets Manager API, TagResource).
 */
function resourceInTags(rotation: Rotation, tags: ReadonlyMap<string, string>): DatabaseResource {
  const [, arn] = [...tags].find(([tag]) => /^aws:rds:primarydb(instance|cluster)arn$/i.test(tag)) ?? [];
  if (arn === undefined)
    throw adminInvalid(rotation, 'it names no host, and no tag of RDS says which database it is for');
  const [, region, accountId, type] = /^arn:aws[a-z-]*:rds:([a-z0-9-]+):(\d{12}):(db|cluster):[\w-]+$/.exec(arn) ?? [];
  if (type === undefined) throw adminInvalid(rotation, 'the tag of RDS names neither an instance nor a cluster');
  const own = parseSecretArn(rotation.secretArn);
  if (accountId !== own?.accountId || region !== own?.region)
    throw adminInvalid(rotation, 'the tag of RDS names a database of another account or Region');
  return { kind: type === 'db' ? 'instance' : 'cluster', id: arn };
}

/** Where to work, checked as if a secret had named it. */
function writerOf(rotation: Rotation, { arn, engine, writer }: DatabaseServer): Address {
  const { rules, hosts } = rotation;
  if (!rules.engines.includes(engine))
    throw adminInvalid(rotation, `RDS says that the engine of ${arn} is "${engine}"`);
  const fault = hostFault(writer.host, hosts);
  if (fault !== undefined) throw new RekeyError('HOST_NOT_ALLOWED', `the endpoint of ${arn} ${fault}`);
  return writer;
}
