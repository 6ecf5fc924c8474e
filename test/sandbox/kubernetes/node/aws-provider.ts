import { parse as parseYaml } from 'yaml';
import { isRecord, type SecretProviderClass } from '../objects.ts';

/** Reads one version of a secret, as GetSecretValue does: by id, stage, or AWSCURRENT. */
export type ReadSecret = (request: {
  readonly secretId: string;
  readonly versionId?: string;
  readonly versionStage?: string;
}) => Promise<{ readonly versionId: string; readonly value: string }>;

/** A file to be mounted; `id` and `version` are what the driver reports of it. */
export interface ProvidedFile {
  readonly id: string;
  readonly version: string;
  readonly path: string;
  readonly contents: string;
}

/** A mount that fails, in words that hold no value. */
export class MountFailed extends Error {}

interface ObjectDescriptor {
  readonly secretId: string;
  readonly fileName: string;
  readonly versionId?: string;
  readonly versionStage?: string;
  readonly fields: readonly { readonly path: string; readonly fileName: string }[];
}

/**
 * The AWS provider of the Secrets Store CSI driver: from the `parameters` of a SecretProviderClass to files. Knows
 * names, ARNs, aliases, pinned versions and labels, and JMES paths as far as dotted names go; no SSM parameters,
 * no failover regions.
 * @throws MountFailed
 */
export async function provideFiles(secretClass: SecretProviderClass, readSecret: ReadSecret): Promise<ProvidedFile[]> {
  const descriptors = parseObjects(secretClass.spec.parameters ?? {});
  const files: ProvidedFile[] = [];
  for (const descriptor of descriptors) {
    const { secretId, versionId, versionStage } = descriptor;
    const secret = await readSecret({
      secretId,
      ...(versionId === undefined ? {} : { versionId }),
      ...(versionStage === undefined ? {} : { versionStage }),
    }).catch((error: unknown) => {
      // Only the kind of the failure: what the caller's store says of it is not ours to print.
      const kind = error instanceof Error ? error.name : 'unknown';
      throw new MountFailed(`failed to fetch secret ${secretId}: ${kind}`);
    });
    files.push(file(descriptor.fileName, secret.versionId, secret.value));
    for (const field of descriptor.fields) {
      files.push(file(field.fileName, secret.versionId, fieldOf(secretId, secret.value, field)));
    }
  }
  return files;
}

function file(fileName: string, version: string, contents: string): ProvidedFile {
  return { id: fileName, version, path: fileName, contents };
}

function parseObjects(parameters: Readonly<Record<string, string>>): ObjectDescriptor[] {
  let objects: unknown;
  try {
    objects = parseYaml(parameters['objects'] ?? '');
  } catch {
    throw new MountFailed('failed to load SecretProviderClass: the YAML of objects is malformed');
  }
  if (!Array.isArray(objects) || objects.length === 0) {
    throw new MountFailed('objects parameter is missing or empty in the SecretProviderClass');
  }
  const translate = fileNames(parameters['pathTranslation']);
  const descriptors = objects.map((entry) => parseObject(entry, translate));
  const names = descriptors.flatMap((one) => [one.fileName, ...one.fields.map((field) => field.fileName)]);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw new MountFailed(`name already in use for objectAlias: ${repeated}`);
  return descriptors;
}

function parseObject(entry: unknown, translate: (name: string) => string): ObjectDescriptor {
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  const fields = isRecord(entry) ? entry : {};
  const secretId = text(fields['objectName']);
  if (secretId === undefined) throw new MountFailed('Object name must be specified');
  const type = text(fields['objectType']) ?? (secretId.startsWith('arn:') ? secretId.split(':')[2] : undefined);
  if (type === undefined) throw new MountFailed(`Must use objectType when a full ARN is not specified: ${secretId}`);
  if (type !== 'secretsmanager') throw new MountFailed(`Invalid objectType: ${type}`);
  const versionId = text(fields['objectVersion']);
  const versionStage = text(fields['objectVersionLabel']);
  const paths = Array.isArray(fields['jmesPath']) ? fields['jmesPath'].filter(isRecord) : [];
  return {
    secretId,
    fileName: translate(text(fields['objectAlias']) ?? secretId),
    ...(versionId === undefined ? {} : { versionId }),
    ...(versionStage === undefined ? {} : { versionStage }),
    fields: paths.map((one) => {
      const path = text(one['path']);
      const alias = text(one['objectAlias']);
      if (path === undefined) throw new MountFailed('Path must be specified for JMES object');
      if (alias === undefined) throw new MountFailed('Object alias must be specified for JMES object');
      return { path, fileName: translate(alias) };
    }),
  };
}

/** `/` cannot be in a file name: it becomes `_`, another character, or (with "False") stays a folder. */
function fileNames(pathTranslation: string | undefined): (name: string) => string {
  if (pathTranslation === 'False') return (name) => name.replace(/^\//, '');
  return (name) => name.replaceAll('/', pathTranslation ?? '_');
}

function fieldOf(secretId: string, value: string, field: { readonly path: string; readonly fileName: string }): string {
  let found: unknown;
  try {
    found = JSON.parse(value);
  } catch {
    throw new MountFailed(`Invalid JSON used with jmesPath in secret: ${secretId}.`);
  }
  // Dotted names, quoted where they hold other characters: "a.b", '"a-b".c'.
  const names = field.path.match(/"[^"]*"|[^.]+/g) ?? [];
  for (const name of names) found = isRecord(found) ? found[name.replace(/^"(.*)"$/, '$1')] : undefined;
  if (found === undefined || found === null) {
    throw new MountFailed(
      `JMES Path - ${field.path} for object alias - ${field.fileName} does not point to a valid object.`,
    );
  }
  if (typeof found !== 'string') {
    throw new MountFailed(`Invalid JMES search result type for path:${field.path}. Only string is allowed.`);
  }
  return found;
}
