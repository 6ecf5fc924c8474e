import type { ReadSecret } from '../../node/aws-provider.ts';
import { isRecord, type SecretStoreObject } from '../../objects.ts';

/** What the operator's AWS provider asks AWS for, with the store's identity. */
export interface AwsSecrets {
  readonly read: ReadSecret;
  /** All secrets of the account, as ListSecrets tells. */
  list(): Promise<readonly { readonly name: string; readonly tags: ReadonlyMap<string, string> }[]>;
}

/** A fetch that fails, in words that hold no value. */
export class FetchFailed extends Error {}

export interface RemoteRef {
  readonly key: string;
  readonly property?: string;
  readonly version?: string;
}

export interface Find {
  readonly path?: string;
  readonly name?: { readonly regexp?: string };
  readonly tags?: Readonly<Record<string, string>>;
}

/** Parameters of this name are secrets: Parameter Store reads them from Secrets Manager. */
const REFERENCE = '/aws/reference/secretsmanager/';

/** One value. @throws FetchFailed */
export async function fetchValue(store: SecretStoreObject, ref: RemoteRef, aws: AwsSecrets): Promise<string> {
  const value = await readThrough(store, ref, aws);
  if (ref.property === undefined || ref.property === '') return value;
  const found = propertyOf(value, ref.property);
  if (found === undefined) throw new FetchFailed(`key ${ref.property} does not exist in secret ${ref.key}`);
  return found;
}

/** All fields of a JSON object: `extract`. @throws FetchFailed */
export async function fetchMap(
  store: SecretStoreObject,
  ref: RemoteRef,
  aws: AwsSecrets,
): Promise<Map<string, string>> {
  const value = await fetchValue(store, ref, aws);
  const parsed = parsedObject(value);
  if (parsed === undefined) throw new FetchFailed(`unable to unmarshal secret ${ref.key}`);
  return new Map(Object.entries(parsed).map(([name, field]) => [name, textOf(field)]));
}

/** Secrets by name or tags: each whole, under its name. @throws FetchFailed */
export async function findAll(store: SecretStoreObject, find: Find, aws: AwsSecrets): Promise<Map<string, string>> {
  const { regexp } = find.name ?? {};
  if (regexp === undefined && find.tags === undefined) throw new FetchFailed('unexpected find operator');
  // Parameter Store lists parameters, and a reference to a secret is none.
  if (store.spec.provider.aws?.service !== 'SecretsManager') return new Map();
  const wanted = regexp === undefined ? undefined : new RegExp(regexp);
  const found = (await asked(() => aws.list(), 'the list of secrets')).filter(
    ({ name, tags }) =>
      (find.path === undefined || name.startsWith(find.path)) &&
      (wanted === undefined || wanted.test(name)) &&
      Object.entries(find.tags ?? {}).every(([tag, value]) => tags.get(tag) === value),
  );
  const values = new Map<string, string>();
  for (const { name } of found) {
    const { value } = await asked(() => aws.read({ secretId: name }), name);
    values.set(name.replaceAll(/[^-._a-zA-Z0-9]/g, '_'), value);
  }
  return values;
}

async function readThrough(store: SecretStoreObject, { key, version = '' }: RemoteRef, aws: AwsSecrets) {
  const { service, prefix = '' } = store.spec.provider.aws ?? {};
  const name = `${prefix}${key}`;
  if (service === 'ParameterStore') {
    if (!name.startsWith(REFERENCE)) throw new FetchFailed(`ParameterNotFound: ${name}`);
    const [secretId = '', label] = name.slice(REFERENCE.length).split(':');
    const read = () => aws.read({ secretId, ...(label === undefined ? {} : { versionStage: label }) });
    return (await asked(read, name)).value;
  }
  if (service !== 'SecretsManager') throw new FetchFailed(`no client for service ${service}`);
  return (await asked(() => aws.read({ secretId: name, ...pinOf(version) }), name)).value;
}

/** "" is AWSCURRENT, `uuid/<id>` a version, anything else a label (AWS provider, "version"). */
function pinOf(version: string): { readonly versionId?: string; readonly versionStage?: string } {
  if (version === '') return {};
  return version.startsWith('uuid/') ? { versionId: version.slice('uuid/'.length) } : { versionStage: version };
}

/** Only the kind of a failure: what the store says of it is not the operator's to print. */
async function asked<T>(ask: () => Promise<T>, what: string): Promise<T> {
  try {
    return await ask();
  } catch (thrown) {
    throw new FetchFailed(`${thrown instanceof Error ? thrown.name : 'failure'} of ${what}`);
  }
}

/** A field by its dotted path, or by its whole name where that holds dots. */
function propertyOf(value: string, property: string): string | undefined {
  const parsed = parsedObject(value);
  if (parsed === undefined) return undefined;
  if (parsed[property] !== undefined) return textOf(parsed[property]);
  let found: unknown = parsed;
  for (const name of property.split('.')) found = isRecord(found) ? found[name] : undefined;
  return found === undefined ? undefined : textOf(found);
}

function parsedObject(value: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    return isRecord(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
