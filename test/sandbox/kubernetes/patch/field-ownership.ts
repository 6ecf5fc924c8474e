import { type FieldSet, isRecord, sameJson } from '../objects.ts';
import { entryKey, type ListMerge, listMerge } from './list-keys.ts';

/** Identity and book-keeping of the server: nobody owns them. */
const UNOWNED_METADATA = new Set([
  'name',
  'generateName',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
]);

/** Maps of built-in kinds that are owned as one. */
const ATOMIC_MAPS = new Set(['selector', 'nodeSelector']);

/** How the fields of one write are owned. */
export interface OwnershipRules {
  /** Custom resources without list markers in their schema have atomic lists; metadata is the same for all kinds. */
  readonly atomicLists: boolean;
  /** The write does not touch the status: whatever it says of it is not its own. */
  readonly withoutStatus: boolean;
}

/** The fields that an object sets. */
export function fieldsOf(object: Record<string, unknown>, rules: OwnershipRules): FieldSet {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  const owned = isRecord(metadata)
    ? Object.fromEntries(Object.entries(metadata).filter(([name]) => !UNOWNED_METADATA.has(name)))
    : {};
  if (rules.withoutStatus) delete rest['status'];
  const fields = mapFields(rest, !rules.atomicLists);
  if (Object.keys(owned).length > 0) fields['f:metadata'] = mapFields(owned, true);
  return fields;
}

function mapFields(map: Record<string, unknown>, keyedLists: boolean): FieldSet {
  const fields: FieldSet = {};
  for (const [name, value] of Object.entries(map)) {
    if (value !== undefined) fields[`f:${name}`] = valueFields(name, map, value, keyedLists);
  }
  return fields;
}

function valueFields(name: string, holder: Record<string, unknown>, value: unknown, keyedLists: boolean): FieldSet {
  if (isRecord(value)) return ATOMIC_MAPS.has(name) && keyedLists ? {} : mapFields(value, keyedLists);
  if (!Array.isArray(value)) return {};
  const how = keyedLists ? listMerge(name, holder) : undefined;
  if (how === undefined) return {};
  return Object.fromEntries(
    value.map((item) => [
      entrySegment(how, item),
      how.kind === 'keyed' && isRecord(item) ? { '.': {}, ...mapFields(item, keyedLists) } : {},
    ]),
  );
}

function entrySegment(how: ListMerge, item: unknown): string {
  if (how.kind === 'keyed' && isRecord(item)) return `k:${JSON.stringify(entryKey(how, item))}`;
  return `v:${JSON.stringify(item)}`;
}

/** The fields of `after` that are new or hold another value than in `before`. */
export function changedFields(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  rules: OwnershipRules,
): FieldSet {
  return keepLeaves(fieldsOf(after, rules), [], (path) => !sameJson(valueAt(before, path), valueAt(after, path)));
}

/** Leaves that satisfy a condition, as a set of their own. */
export function keepLeaves(
  fields: FieldSet,
  path: readonly string[],
  condition: (path: readonly string[]) => boolean,
): FieldSet {
  const kept: FieldSet = {};
  for (const [segment, children] of Object.entries(fields)) {
    const at = [...path, segment];
    if (isLeaf(children)) {
      if (condition(at)) kept[segment] = {};
    } else {
      const inner = keepLeaves(children, at, condition);
      if (!isLeaf(inner)) kept[segment] = inner;
    }
  }
  return kept;
}

/** The value that a path of `fieldsV1` segments leads to. For `.` of an entry: whether the entry exists. */
export function valueAt(object: unknown, path: readonly string[]): unknown {
  let value = object;
  for (const segment of path) {
    if (segment === '.') return value !== undefined;
    if (segment.startsWith('f:')) value = isRecord(value) ? value[segment.slice(2)] : undefined;
    else value = Array.isArray(value) ? value.find((item) => matchesSegment(segment, item)) : undefined;
    if (value === undefined) return undefined;
  }
  return value;
}

export function matchesSegment(segment: string, item: unknown): boolean {
  const wanted: unknown = JSON.parse(segment.slice(2));
  if (segment.startsWith('v:')) return sameJson(wanted, item);
  return (
    isRecord(wanted) &&
    isRecord(item) &&
    Object.entries(wanted).every(([name, value]) =>
      sameJson(item[name] ?? (name === 'protocol' ? 'TCP' : undefined), value),
    )
  );
}

export function isLeaf(fields: FieldSet): boolean {
  return Object.keys(fields).length === 0;
}

export function union(left: FieldSet, right: FieldSet): FieldSet {
  const all: FieldSet = { ...left };
  for (const [segment, children] of Object.entries(right)) all[segment] = union(all[segment] ?? {}, children);
  return all;
}

export function contains(fields: FieldSet, path: readonly string[]): boolean {
  let node: FieldSet | undefined = fields;
  for (const segment of path) {
    node = node[segment];
    if (node === undefined) return false;
  }
  return true;
}

export function without(fields: FieldSet, gone: FieldSet): FieldSet {
  return keepLeaves(fields, [], (path) => !contains(gone, path));
}

/** Every leaf of a set, as a path. */
export function leaves(fields: FieldSet, path: readonly string[] = []): (readonly string[])[] {
  return Object.entries(fields).flatMap(([segment, children]) =>
    isLeaf(children) ? [[...path, segment]] : leaves(children, [...path, segment]),
  );
}
