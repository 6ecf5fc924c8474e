import { type FieldSet, isRecord, type ManagedFieldsEntry, sameJson } from '../objects.ts';
import {
  contains,
  fieldsOf,
  keepLeaves,
  leaves,
  matchesSegment,
  type OwnershipRules,
  union,
  valueAt,
  without,
} from './field-ownership.ts';
import { entryKey, listMerge } from './list-keys.ts';
import { isOf, type Writer } from './managed-fields.ts';

export interface ApplyConflict {
  readonly manager: string;
  readonly apiVersion: string;
  /** As the API prints it: `.spec.template.spec.containers[name="app"].image`. */
  readonly field: string;
}

export type ApplyResult =
  | { readonly kind: 'conflict'; readonly conflicts: readonly ApplyConflict[] }
  | {
      readonly kind: 'merged';
      readonly object: Record<string, unknown>;
      /** The fields that the applier owns from now on, and those of them that others lose. */
      readonly applied: FieldSet;
      readonly taken: FieldSet;
    };

/**
 * Server-side apply: merges the configuration into the live object, removes what this manager applied before and
 * leaves out now, and refuses to change a field that another manager owns unless forced.
 */
export function applyConfiguration(
  live: Record<string, unknown>,
  entries: readonly ManagedFieldsEntry[],
  configuration: Record<string, unknown>,
  writer: Writer,
  force: boolean,
  rules: OwnershipRules,
): ApplyResult {
  const applied = fieldsOf(configuration, rules);
  const others = entries.filter((entry) => !isOf(entry, writer));
  const differing = keepLeaves(applied, [], (path) => {
    const present = valueAt(live, path);
    return present !== undefined && !sameJson(present, valueAt(configuration, path));
  });
  const conflicts = others.flatMap((entry) =>
    leaves(differing)
      .filter((path) => contains(entry.fieldsV1, path))
      .map((path) => ({ manager: entry.manager, apiVersion: entry.apiVersion, field: printed(path) })),
  );
  if (conflicts.length > 0 && !force) return { kind: 'conflict', conflicts };

  const before = entries.find((entry) => isOf(entry, writer))?.fieldsV1 ?? {};
  const ofOthers = others.reduce<FieldSet>((all, entry) => union(all, entry.fieldsV1), {});
  const dropped = without(without(before, applied), ofOthers);
  const pruned = structuredClone(live);
  for (const path of leaves(dropped)) removeAt(pruned, path);
  return { kind: 'merged', object: mergeMap(pruned, configuration, !rules.atomicLists), applied, taken: differing };
}

function mergeMap(
  target: Record<string, unknown>,
  configuration: Record<string, unknown>,
  keyedLists: boolean,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...target };
  for (const [name, value] of Object.entries(configuration)) {
    const old = merged[name];
    const keyed = keyedLists || name === 'metadata';
    if (isRecord(value)) merged[name] = mergeMap(isRecord(old) ? old : {}, value, keyed);
    else if (Array.isArray(value)) merged[name] = mergeList(name, { ...configuration, ...target }, old, value, keyed);
    else merged[name] = value;
  }
  return merged;
}

function mergeList(
  field: string,
  holder: Record<string, unknown>,
  old: unknown,
  value: readonly unknown[],
  keyed: boolean,
): unknown[] {
  const how = keyed ? listMerge(field, holder) : undefined;
  if (how === undefined || !Array.isArray(old)) return structuredClone([...value]);
  if (how.kind === 'set') return [...old, ...value.filter((item) => !old.includes(item))];
  const merged: unknown[] = [...old];
  for (const item of value) {
    const same = (other: unknown) =>
      isRecord(other) && isRecord(item) && sameJson(entryKey(how, other), entryKey(how, item));
    const at = merged.findIndex(same);
    const existing = merged[at];
    if (isRecord(existing) && isRecord(item)) merged[at] = mergeMap(existing, item, keyed);
    else merged.push(structuredClone(item));
  }
  return merged;
}

/** Removes a leaf. An entry of a list goes when its own `.` does; a map that this empties stays. */
function removeAt(object: Record<string, unknown>, path: readonly string[]): void {
  const target = path.at(-1) === '.' ? path.slice(0, -1) : path;
  const holder = valueAt(object, target.slice(0, -1)) ?? object;
  const last = target.at(-1) ?? '';
  if (last.startsWith('f:') && isRecord(holder)) delete holder[last.slice(2)];
  else if (Array.isArray(holder)) {
    const at = holder.findIndex((item) => matchesSegment(last, item));
    if (at >= 0) holder.splice(at, 1);
  }
}

function printed(path: readonly string[]): string {
  return path
    .filter((segment) => segment !== '.')
    .map((segment) => {
      if (segment.startsWith('f:')) return `.${segment.slice(2)}`;
      const value: unknown = JSON.parse(segment.slice(2));
      if (!isRecord(value)) return `[=${JSON.stringify(value)}]`;
      return `[${Object.entries(value).map(([name, one]) => `${name}=${JSON.stringify(one)}`)}]`;
    })
    .join('');
}
