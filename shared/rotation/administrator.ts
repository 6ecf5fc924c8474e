import type { Credentials, Login } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { hostFault } from '../secrets/database-host.ts';
import { type DatabaseSecret, parseBareLogin, parseDatabaseSecret } from '../secrets/database-secret.ts';
import { CURRENT } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import { accepts } from '../secrets/tags.ts';
import type { Address, DatabaseResource } from '../topology/port.ts';
import { type DatabaseServer, leadsTo, serverAt, serverOf, serverOfBoth } from '../topology/server.ts';
import type { Rotation } from './strategy.ts';

export interface Administrator {
  readonly login: Credentials;
  /** Of its secret: another one means another password. */
  readonly versionId: string;
}

/**
 * The login of the administrator, at the address that takes writes, in the database of the application: the alternate
 * user must be able to use the objects there.
 *
 * Whoever can write the application's secret picks the administrator's, so that one must be of the same account and of
 * the same server: named by the same address, or one that RDS vouches for. The administrator's password never goes to
 * an address that the application's secret alone knows.
 * @throws RekeyError ADMIN_SECRET_INVALID, SECRET_VALUE_INVALID, SECRET_NOT_FOUND, HOST_NOT_ALLOWED, RDS_…
 */
export async function administratorOf(rotation: Rotation): Promise<Administrator> {
  const { current, secretArn, store, rules, hosts } = rotation;
  const masterArn = requireAdministratorNamed(rotation);
  const staged = await store.readStage(masterArn, CURRENT);
  if (!staged || staged.arn !== masterArn) throw adminInvalid(rotation, `it has no value labelled ${CURRENT}`);
  const { versionId } = staged;
  const context = { what: `${CURRENT} of ${masterArn}`, rules, hosts };
  const { database } = current;
  const bare = parseBareLogin(staged.value, context);
  if (bare)
    return { versionId, login: { ...bare, ...writerOf(rotation, await managedServer(rotation, masterArn)), database } };

  const admin = parseDatabaseSecret(staged.value, context);
  if (admin.masterArn === secretArn) throw adminInvalid(rotation, 'its own masterarn points back');
  const { username, password, host, port } = admin;
  if (host === current.host && port === current.port)
    return { versionId, login: { username, password, host, port, database } };
  const server = await serverOfBoth(admin, current, rotation.topology, rotation.deadline);
  if (!server) throw adminInvalid(rotation, ANOTHER_SERVER);
  return { versionId, login: { username, password, ...writerOf(rotation, server), database } };
}

/** How long the administrator's own rotation may take from its setSecret to its finishSecret. */
const ADMIN_ROTATION_DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];

/**
 * Work as the administrator. Its secret may be rotated at this very moment: refused, it is read again until it has
 * another value, and only then is that one tried. One login per credential.
 * @throws RekeyError as {@link administratorOf}, LOGIN_REFUSED
 */
export async function asAdministrator<T>(rotation: Rotation, work: (admin: Credentials) => Promise<T>): Promise<T> {
  let administrator = await administratorOf(rotation);
  try {
    return await work(administrator.login);
  } catch (error) {
    if (!isRefusalOf(administrator, error)) throw error;
    for (const delayMs of ADMIN_ROTATION_DELAYS_MS) {
      if (rotation.deadline.remainingMs() < 2 * delayMs) break;
      await rotation.clock.sleep(delayMs);
      const { versionId } = administrator;
      administrator = await administratorOf(rotation);
      if (administrator.versionId !== versionId) return work(administrator.login);
    }
    throw error;
  }
}

/** An engine names the acting user in its refusal; the current user's refusal is thrown by the strategy itself. */
const isRefusalOf = ({ login }: Administrator, error: unknown): boolean =>
  error instanceof RekeyError && error.code === 'LOGIN_REFUSED' && error.message.includes(login.username);

/**
 * The last way out when the server knows none of the passwords: it was restored from a snapshot, or someone changed
 * the password by hand. It takes a tag, because it gives whoever writes the secret the password of its user.
 * @param refusal of the pending login
 * @throws RekeyError LOGIN_REFUSED without the tag, without an administrator, or when it was not the password
 */
export async function resetByAdministrator(rotation: Rotation, pending: DatabaseSecret, refusal: Login): Promise<void> {
  const { options, engine, deadline, log, secretArn } = rotation;
  const { username, password } = pending;
  const reason = refusal.kind === 'refused' ? refusal.reason : 'password';
  const refused = `the database refuses user "${username}" with every password of ${secretArn}: ${reason}`;
  if (reason !== 'password' || !accepts(options, 'admin-reset') || rotation.current.masterArn === undefined)
    throw new RekeyError('LOGIN_REFUSED', refused);
  await asAdministrator(rotation, async (acting) => {
    if (acting.username === username) throw adminInvalid(rotation, `its user "${username}" is the one to be reset`);
    await engine.setPassword({ acting, username, password }, deadline);
  });
  log.warn('the administrator reset the password, as the tag rekey:accept allows', { secretArn, user: username });
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
async function managedServer(rotation: Rotation, masterArn: string): Promise<DatabaseServer> {
  const { current, store, topology, deadline } = rotation;
  const resource = resourceInTags(rotation, (await store.describe(masterArn)).tags);
  const server = await serverOf(resource, topology, deadline);
  if (!server)
    throw new RekeyError('RDS_DATABASE_NOT_FOUND', `${masterArn} is for ${resource.id}, which RDS cannot find`);
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
