import type { Container, SecretObject } from '../objects.ts';

/** A variable comes from a Secret, or a key of one, that is not there. The words are the kubelet's. */
export class SecretMissing extends Error {}

/**
 * A container's variables from its manifest and from Secrets, as the kubelet makes them at each start. Those of the
 * cluster's services, of the pod's fields and of ConfigMaps are not there, and `$(NAME)` stays as it is.
 * @throws SecretMissing
 */
export async function resolveEnvironment(
  { env = [], envFrom = [] }: Container,
  readSecret: (name: string) => Promise<SecretObject | undefined>,
): Promise<ReadonlyMap<string, string>> {
  const resolved = new Map<string, string>();
  for (const { prefix = '', secretRef } of envFrom) {
    if (secretRef === undefined) continue;
    const secret = await readSecret(secretRef.name);
    if (secret === undefined && secretRef.optional !== true)
      throw new SecretMissing(`secret "${secretRef.name}" not found`);
    for (const [key, value] of Object.entries(secret?.data ?? {})) resolved.set(`${prefix}${key}`, decoded(value));
  }
  for (const { name, value = '', valueFrom } of env) {
    const reference = valueFrom?.secretKeyRef;
    if (reference === undefined) {
      if (valueFrom === undefined) resolved.set(name, value);
      continue;
    }
    const secret = await readSecret(reference.name);
    const found = secret?.data?.[reference.key];
    if (found !== undefined) resolved.set(name, decoded(found));
    else if (reference.optional !== true)
      throw new SecretMissing(
        secret === undefined
          ? `secret "${reference.name}" not found`
          : `couldn't find key ${reference.key} in Secret ${secret.metadata.namespace}/${reference.name}`,
      );
  }
  return resolved;
}

export function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
