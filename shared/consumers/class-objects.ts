import { parseDocument } from 'yaml';
import type { SecretProviderClass } from '../cluster/port.ts';
import { CURRENT } from '../secrets/port.ts';
import { isReplica, referencedSecret, refersTo, type SecretIdentity } from './references.ts';

/** One entry of a class's `objects` that names a secret, in the words of the AWS provider. */
export interface SecretObject {
  readonly objectName: string;
  readonly region: string;
  /** It is named by a parameter that points at it: the driver records the parameter's version, which never changes. */
  readonly byParameter: boolean;
  /** Under which the driver records the mounted version: the file's name, and that of each JMESPath entry. */
  readonly ids: readonly string[];
  readonly version: string;
  readonly label: string;
  /** The region and, where it is another secret, the name that is asked for when the first region fails. */
  readonly failover: { readonly region: string; readonly objectName: string; readonly label: string } | undefined;
}

export type ClassObjects =
  | { readonly kind: 'objects'; readonly objects: readonly SecretObject[] }
  | { readonly kind: 'malformed'; readonly why: string };

/**
 * How a class uses a secret: `follows` AWSCURRENT, and the driver records its version under these ids; `unrecorded`:
 * it follows, but the recorded version is another secret's; `pinned` to a version or label, so that it never moves.
 */
export type Use =
  | { readonly kind: 'follows'; readonly ids: readonly string[] }
  | { readonly kind: 'unrecorded' }
  | { readonly kind: 'pinned'; readonly to: string };

/** Aliases that one class may resolve: far above any honest use, far below what a bomb needs. */
const MAX_ALIASES = 50;

/** A sweep compares a class with each secret that it names: to parse the YAML each time takes longer than all else. */
const objectsByClass = new WeakMap<SecretProviderClass, Map<string, ClassObjects>>();

/**
 * The secrets that a class names. One that cannot be read is reported as such: the others go on.
 * @param region of the cluster, where the class names none (AWS provider, "Usage": region)
 */
export function objectsOf(spc: SecretProviderClass, region: string): ClassObjects {
  const ofClass = objectsByClass.get(spc) ?? new Map<string, ClassObjects>();
  objectsByClass.set(spc, ofClass);
  const known = ofClass.get(region) ?? parseObjects(spc, region);
  ofClass.set(region, known);
  return known;
}

function parseObjects(spc: SecretProviderClass, region: string): ClassObjects {
  if (spc.provider !== 'aws') return { kind: 'objects', objects: [] };
  const entries = entriesOf(spc.parameters.get('objects') ?? '');
  if (typeof entries === 'string') return { kind: 'malformed', why: entries };
  const objects: SecretObject[] = [];
  for (const entry of entries) {
    const objectName = textOf(entry, 'objectName');
    if (objectName === '') return { kind: 'malformed', why: 'an entry of its objects has no objectName' };
    const parameter = isParameter(objectName, textOf(entry, 'objectType')) ? parameterName(objectName) : undefined;
    const reference = parameter === undefined ? undefined : referencedSecret(parameter);
    // Any other parameter is no secret.
    if (parameter !== undefined && reference === undefined) continue;
    objects.push({
      objectName: reference?.name ?? objectName,
      region: spc.parameters.get('region') || region,
      byParameter: reference !== undefined,
      ids: [textOf(entry, 'objectAlias') || objectName, ...aliasesOf(entry)].map((file) =>
        fileName(file, spc.parameters.get('pathTranslation') ?? ''),
      ),
      version: textOf(entry, 'objectVersion') || (reference?.version ?? ''),
      label: textOf(entry, 'objectVersionLabel'),
      failover: failoverOf(entry, objectName, spc.parameters.get('failoverRegion') ?? ''),
    });
  }
  return { kind: 'objects', objects };
}

/** Whether a class that cannot be read may use this secret: its ARN, in every form, holds its name. */
export function mayUse(spc: SecretProviderClass, secret: SecretIdentity): boolean {
  return (spc.parameters.get('objects') ?? '').includes(secret.name);
}

/** How an entry uses this secret; undefined when it is about another one. */
export function useOf(object: SecretObject, secret: SecretIdentity): Use | undefined {
  const { failover } = object;
  if (refersTo(object.objectName, object.region, secret)) {
    const use = followsOrPinned(object.ids, object.version, object.label);
    // With a failover Region the provider records the version that the last Region answered, whichever value it took.
    const recorded = !object.byParameter && (failover === undefined || isReplica(failover.objectName, secret));
    return use.kind === 'follows' && !recorded ? { kind: 'unrecorded' } : use;
  }
  if (failover !== undefined && refersTo(failover.objectName, failover.region, secret))
    return followsOrPinned(object.ids, object.version, failover.label || object.label);
  return undefined;
}

function followsOrPinned(ids: readonly string[], version: string, label: string): Use {
  if (version !== '') return { kind: 'pinned', to: `version ${version}` };
  if (label !== '' && label !== CURRENT) return { kind: 'pinned', to: `label ${label}` };
  return { kind: 'follows', ids };
}

type Entry = Readonly<Record<string, unknown>>;

/**
 * The entries of the YAML list, or why there are none. The text is not quoted: it belongs to somebody else's log. Read as
 * the provider does (sigs.k8s.io/yaml, not its UnmarshalStrict): its first document alone, `~` and `null` as nothing,
 * merge keys followed, and of two equal keys the last one. Any other scalar stays the text that was written, as in its Go
 * strings (failsafe).
 */
function entriesOf(yaml: string): readonly Entry[] | string {
  const document = parseDocument(yaml, {
    schema: 'failsafe',
    customTags: ['null', 'merge'],
    uniqueKeys: false,
    logLevel: 'error',
  });
  const error = document.errors.find(({ code }) => code !== 'MULTIPLE_DOCS');
  if (error !== undefined) return notYaml(error.linePos?.[0].line);
  let parsed: unknown;
  try {
    parsed = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    return notYaml(undefined);
  }
  if (!Array.isArray(parsed)) return 'its objects are not a list';
  return parsed.every(isEntry) ? parsed : 'its objects hold something that is not a map';
}

function notYaml(line: number | undefined): string {
  return `its objects are not valid YAML${line === undefined ? '' : ` (line ${line})`}`;
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field by its name in any case, as Go's JSON reads it; the empty string when it is missing or no text. */
function fieldOf(entry: Entry, name: string): unknown {
  return Object.entries(entry).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

function textOf(entry: Entry, name: string): string {
  const value = fieldOf(entry, name);
  return typeof value === 'string' ? value : '';
}

function aliasesOf(entry: Entry): readonly string[] {
  const paths = fieldOf(entry, 'jmesPath');
  if (!Array.isArray(paths)) return [];
  return paths
    .filter(isEntry)
    .map((path) => textOf(path, 'objectAlias'))
    .filter((alias) => alias !== '');
}

function failoverOf(entry: Entry, objectName: string, region: string): SecretObject['failover'] {
  if (region === '') return undefined;
  const object = fieldOf(entry, 'failoverObject');
  const failover = isEntry(object) ? object : {};
  return {
    region,
    objectName: textOf(failover, 'objectName') || objectName,
    label: textOf(failover, 'objectVersionLabel'),
  };
}

/** In an ARN the name comes after the resource type, its first slash with it. */
function parameterName(objectName: string): string {
  return objectName.replace(/^arn:[^:]*:ssm:[^:]*:[^:]*:parameter/, '');
}

function isParameter(objectName: string, objectType: string): boolean {
  return objectType === 'ssmparameter' || /^arn:[^:]*:ssm:/.test(objectName);
}

/** AWS provider, "pathTranslation": a slash becomes `_`, or the given character; `False` keeps it but at the start. */
function fileName(name: string, pathTranslation: string): string {
  if (pathTranslation.toLowerCase() === 'false') return name.replace(/^\/+/, '');
  return name.replaceAll('/', pathTranslation || '_');
}
