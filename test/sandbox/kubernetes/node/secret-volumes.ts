import type { SecretObject, Volume } from '../objects.ts';
import { decoded, SecretMissing } from './container-environment.ts';

/** A part of a volume that a Secret's keys are files of. */
interface SecretSource {
  readonly name: string;
  readonly optional: boolean;
  /** Which keys, and where to; undefined: all, by their names. */
  readonly items: readonly { readonly key: string; readonly path: string }[] | undefined;
}

/** The Secrets that a volume holds, by themselves or projected. ConfigMaps, tokens and the pod's fields are not there. */
export function secretSourcesOf(volume: Volume): readonly SecretSource[] {
  const { secret, projected } = volume as {
    readonly secret?: { readonly secretName?: string } & Omit<Partial<SecretSource>, 'name'>;
    readonly projected?: { readonly sources?: readonly { readonly secret?: Partial<SecretSource> }[] };
  };
  return [
    ...(secret ? [{ ...secret, name: secret.secretName }] : []),
    ...(projected?.sources ?? []).flatMap((source) => source.secret ?? []),
  ].map(({ name = '', optional = false, items }) => ({ name, optional, items }));
}

/**
 * The files of a volume from what its Secrets hold now. Their modes are not there.
 * @returns relative path → contents
 * @throws SecretMissing
 */
export async function secretFiles(
  volume: Volume,
  readSecret: (name: string) => Promise<SecretObject | undefined>,
): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const { name, optional, items } of secretSourcesOf(volume)) {
    const data = (await readSecret(name))?.data;
    if (data === undefined && !optional) throw new SecretMissing(`secret "${name}" not found`);
    for (const { key, path } of items ?? Object.keys(data ?? {}).map((one) => ({ key: one, path: one }))) {
      const value = data?.[key];
      if (value !== undefined) files.set(path, decoded(value));
      else if (!optional) throw new SecretMissing(`references non-existent secret key: ${key}`);
    }
  }
  return files;
}
