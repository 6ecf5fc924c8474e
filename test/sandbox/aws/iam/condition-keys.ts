/**
 * The condition keys that the sandbox gives its requests, as the Service Authorization Reference and the IAM User
 * Guide ("AWS global condition context keys") name them, in lower case. A policy that asks for another one is refused:
 * its answer would be a guess.
 */
const KEYS = new Set([
  'aws:principalaccount',
  'aws:principalarn',
  'aws:requestedregion',
  'aws:resourceaccount',
  'aws:securetransport',
  'aws:sourceaccount',
  'aws:sourcearn',
  'events:detail-type',
  'events:source',
  'kms:calleraccount',
  'kms:encryptioncontextkeys',
  'kms:viaservice',
  'lambda:sourcefunctionarn',
  'rds:db-tag',
  'secretsmanager:name',
  'secretsmanager:resource/allowrotationlambdaarn',
  'secretsmanager:secretid',
  'secretsmanager:versionid',
  'secretsmanager:versionstage',
  'sts:externalid',
  'sts:rolesessionname',
]);

/** Keys whose end is anything: the name of a tag, or of an entry in an encryption context. */
const FAMILIES = ['aws:principaltag/', 'aws:resourcetag/', 'kms:encryptioncontext:', 'secretsmanager:resourcetag/'];

/** @throws Error when the sandbox does not know the key */
export function checkKey(key: string): void {
  const name = key.toLowerCase();
  if (KEYS.has(name) || FAMILIES.some((family) => name.startsWith(family))) return;
  throw new Error(`the sandbox does not know the condition key ${key}`);
}
