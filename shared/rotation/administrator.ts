import type { Credentials } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { hostFault } from '../secrets/database-host.ts';
import { parseBareLogin, parseDatabaseSecret } from '../secrets/database-secret.ts';
import { CURRENT } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import type { Address, DatabaseResource } from '../topology/port.ts';
import { type DatabaseServer, leadsTo, serverAt, serverOf, serverOfBoth } from '../topology/server.ts';
import type { Rotation } from './strategy.ts';

/**
 * The login of the administrator, at the address that takes writes, in the database of the application: the alternate
 * user must be able to use the objects there.
 *
 * Whoever can write the application's secret picks the administrator's, so that one must be of the same account and of
 * the same server: named by the same address, or one that RDS vouches for. The administrator's password never goes to
 * an address that the application's secret alone knows.
 * @throws RekeyError ADMIN_SECRET_INVALID, SECRET_VALUE_INVALID, SECRET_NOT_FOUND, HOST_NOT_ALLOWED, RDS_…
 */
export async function administratorOf(rotation: Rotation): Promise<Credentials> {
  const { current, secretArn, store, rules, hosts } = rotation;
  const { masterArn } = current;
  if (masterArn === undefined)
    throw new RekeyError('SECRET_VALUE_INVALID', `in ${secretArn}: "masterarn" is missing, alternating users need it`);
  if (masterArn === secretArn) throw adminInvalid(rotation, 'it is the secret itself');
  const [own, its] = [parseSecretArn(secretArn), parseSecretArn(masterArn)];
  if (own?.accountId !== its?.accountId || own?.region !== its?.region)
    throw adminInvalid(rotation, 'it belongs to another account or Region');

  const staged = await store.readStage(masterArn, CURRENT);
  if (!staged || staged.arn !== masterArn) throw adminInvalid(rotation, `it has no value labelled ${CURRENT}`);
  const context = { what: `${CURRENT} of ${masterArn}`, rules, hosts };
  const { database } = current;
  const bare = parseBareLogin(staged.value, context);
  if (bare) return { ...bare, ...writerOf(rotation, await managedServer(rotation, masterArn)), database };

  const admin = parseDatabaseSecret(staged.value, context);
  if (admin.masterArn === secretArn) throw adminInvalid(rotation, 'its own masterarn points back');
  const { username, password, host, port } = admin;
  if (host === current.host && port === current.port) return { username, password, host, port, database };
  const server = await serverOfBoth(admin, current, rotation.topology, rotation.deadline);
  if (!server) throw adminInvalid(rotation, ANOTHER_SERVER);
  return { username, password, ...writerOf(rotation, server), database };
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
