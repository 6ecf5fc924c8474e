import { CURRENT } from '../secrets/port.ts';
import { inRegion, parseSecretArn } from '../secrets/secret-arn.ts';

/** What every form of reference to a secret is compared with. */
export interface SecretIdentity {
  /** Whole, with the six characters at the end. */
  readonly arn: string;
  readonly name: string;
  /** By the Regions in which it has a replica; absent when there is none. */
  readonly replicas?: ReadonlyMap<string, unknown>;
  /** Absent: it has none. */
  readonly tags?: ReadonlyMap<string, string>;
}

/**
 * Whether a reference means this secret or a replica of it: its name, its ARN, or its ARN without the last seven
 * characters. Compared whole, because a name may itself end in a hyphen and six characters.
 * @param region in which a name is looked up
 */
export function refersTo(reference: string, region: string, secret: SecretIdentity): boolean {
  if (!reference.startsWith('arn:')) return reference === secret.name && regionsOf(secret).includes(region);
  return referencesTo(secret).includes(reference);
}

/** Every reference that means the secret in some Region: whatever {@link refersTo} takes is one of them. */
export function referencesTo({ arn, name, replicas }: SecretIdentity): readonly string[] {
  const arns = [arn, ...[...(replicas?.keys() ?? [])].map((replica) => inRegion(arn, replica))];
  return [name, ...arns, ...arns.map((one) => one.slice(0, -7))];
}

/** The Regions in which its name means it. */
export function regionsOf({ arn, replicas }: SecretIdentity): readonly (string | undefined)[] {
  return [parseSecretArn(arn)?.region, ...(replicas?.keys() ?? [])];
}

const REFERENCE = '/aws/reference/secretsmanager/';

/**
 * The secret that a parameter stands for (Systems Manager, "Referencing Secrets Manager secrets"); undefined for any
 * other parameter. No secret's name has a colon, which sets the version apart.
 */
export function referencedSecret(parameter: string): { readonly name: string; readonly version: string } | undefined {
  if (!parameter.startsWith(REFERENCE)) return undefined;
  const [name = '', version = ''] = parameter.slice(REFERENCE.length).split(':');
  return { name, version: version === CURRENT ? '' : version };
}

/** Whether a reference means the secret in any Region: replicas have the name, the six characters and the versionIds. */
export function isReplica(reference: string, secret: SecretIdentity): boolean {
  const withoutRegion = (arn: string) => arn.split(':').toSpliced(3, 1).join(':');
  if (!reference.startsWith('arn:')) return reference === secret.name;
  return [secret.arn, secret.arn.slice(0, -7)].some((arn) => withoutRegion(arn) === withoutRegion(reference));
}
