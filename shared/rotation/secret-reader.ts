import type { Credentials, Transport } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { hostFault, isRdsProxy } from '../secrets/database-host.ts';
import { type DatabaseSecret, type ParsedSecret, parseDatabaseSecret } from '../secrets/database-secret.ts';
import { versionWithStage } from '../secrets/port.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import type { HostAndPort } from '../secrets/tags.ts';
import type { Address } from '../topology/port.ts';
import { serverOf } from '../topology/server.ts';
import type { Rotation } from './strategy.ts';

/** What it takes to make a login of a secret's value. */
export type ReaderContext = Pick<Rotation, 'secretArn' | 'rules' | 'hosts' | 'options' | 'topology' | 'deadline'>;

/**
 * A secret's value as a login, at the address where Rekey works. RDS is asked only where the JSON leaves the host out.
 * @param label which version it is, for messages
 * @throws RekeyError SECRET_VALUE_INVALID, HOST_NOT_ALLOWED, TAG_INVALID, RDS_…
 */
export async function readLogin(value: SecretValue, label: string, context: ReaderContext): Promise<DatabaseSecret> {
  const { rules, hosts, options } = context;
  const what = `${label} of ${context.secretArn}`;
  const parsed = parseDatabaseSecret(value, { what, rules, hosts, options });
  const transport = transportOf(parsed.encrypted, context);
  requireAllowedByTags(context);
  return { ...parsed, ...(await workplaceOf(parsed, what, context)), ...(transport && { transport }) };
}

/** The login under a label of the secret itself, or undefined where no version carries it. @throws as {@link readLogin} */
export async function readStaged(rotation: Rotation, stage: string): Promise<DatabaseSecret | undefined> {
  const versionId = versionWithStage(rotation, stage);
  const stored = versionId === undefined ? undefined : await rotation.store.read(rotation.secretArn, versionId);
  return stored && readLogin(stored.value, stage, rotation);
}

/** The same login at another server, whose certificate carries its own name. */
export function loginAt(login: Credentials, address: Address): Credentials {
  const { transport, ...rest } = login;
  if (transport?.kind !== 'verified') return { ...rest, ...address, ...(transport && { transport }) };
  const { ca } = transport;
  return { ...rest, ...address, ...(ca !== undefined && { transport: { kind: 'verified', ca } }) };
}

/** The address of a tag, on the secret's own port where it names none. */
export const addressOf = ({ host, port }: HostAndPort, usual: Pick<Address, 'port'>): Address => ({
  host,
  port: port ?? usual.port,
});

/**
 * RDS Proxy and poolers know the current password alone, and an alias may not be what the certificate carries: a tag
 * says where to work then, and applications go on with the host of the JSON.
 */
async function workplaceOf(parsed: ParsedSecret, what: string, context: ReaderContext): Promise<Address> {
  const { place } = parsed;
  const { databaseHost } = context.options;
  if (databaseHost) return addressOf(databaseHost, { port: place.port ?? context.rules.defaultPort });
  if (place.kind === 'address') {
    requireNoProxy(place.host, what);
    return { host: place.host, port: place.port };
  }

  const { resource, port } = place;
  const named = `the ${resource.kind} "${resource.id}" that ${what} names`;
  const server = await serverOf(resource, context.topology, context.deadline);
  if (!server)
    throw new RekeyError(
      'RDS_DATABASE_NOT_FOUND',
      `RDS knows no writer of ${named}`,
      'Correct the identifier in the JSON of the secret, or add "host" and "port" to it.',
    );
  if (!context.rules.engines.includes(server.engine))
    throw new RekeyError('SECRET_VALUE_INVALID', `RDS says that the engine of ${named} is "${server.engine}"`);
  requireAllowed(server.writer.host, `the endpoint of ${named}`, context);
  return { host: server.writer.host, port: port ?? server.writer.port };
}

/** @throws RekeyError TAG_INVALID */
export function transportOf(
  encrypted: boolean,
  { options, hosts, secretArn }: Pick<ReaderContext, 'options' | 'hosts' | 'secretArn'>,
): Transport | undefined {
  if (!encrypted) return { kind: 'plaintext' };
  const { serverName, ca: bundle } = options;
  const ca = bundle === undefined ? undefined : hosts.authorities.get(bundle);
  if (bundle !== undefined && ca === undefined) {
    const known = [...hosts.authorities.keys()].join(', ') || 'none';
    throw new RekeyError(
      'TAG_INVALID',
      `the tag "rekey:ca" of ${secretArn} names no bundle of the function; it has: ${known}`,
    );
  }
  if (serverName === undefined && ca === undefined) return undefined;
  return { kind: 'verified', ...(serverName !== undefined && { serverName }), ...(ca !== undefined && { ca }) };
}

/** Before anything is changed, though most steps do not go there. */
function requireAllowedByTags(context: ReaderContext): void {
  const { databaseHost, readers, serverName } = context.options;
  const tag = (name: string) => `the tag rekey:${name} of ${context.secretArn}`;
  if (databaseHost) {
    requireAllowed(databaseHost.host, `${tag('database-host')} names a host that`, context, serverName);
    requireNoProxy(databaseHost.host, tag('database-host'));
  }
  for (const { host } of readers) {
    requireAllowed(host, `${tag('readers')} names a host that`, context);
    requireNoProxy(host, tag('readers'));
  }
}

/**
 * RDS Proxy lets in by AWSCURRENT alone: the pending password could be set through it, and would then be refused by the
 * proxy, as the current one by the database. @throws RekeyError HOST_NOT_ALLOWED before anything is changed
 */
function requireNoProxy(host: string, what: string): void {
  if (isRdsProxy(host))
    throw new RekeyError(
      'HOST_NOT_ALLOWED',
      `${what} names an endpoint of RDS Proxy, which lets nobody in by a pending password`,
      "Let the tag rekey:database-host of the secret name the database's own writer endpoint (docs/estates.md); applications go on with the proxy.",
    );
}

function requireAllowed(host: string, what: string, { hosts }: ReaderContext, certificateName?: string): void {
  const fault = hostFault(host, hosts, certificateName);
  if (fault !== undefined) throw new RekeyError('HOST_NOT_ALLOWED', `${what} ${fault}`);
}
