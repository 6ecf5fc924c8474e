import type { FieldSet, ManagedFieldsEntry } from '../objects.ts';
import { changedFields, isLeaf, keepLeaves, type OwnershipRules, union, valueAt, without } from './field-ownership.ts';

/** Who writes, as it is recorded with the fields that they wrote. */
export interface Writer {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string | undefined;
  readonly time: string;
}

/**
 * The record of owners after an ordinary write: what changed is the writer's, what is gone is nobody's.
 * Nothing changed: the record stays as it was, the times in it too.
 */
export function recordUpdate(
  entries: readonly ManagedFieldsEntry[],
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  writer: Writer,
  rules: OwnershipRules,
): ManagedFieldsEntry[] {
  const changed = changedFields(before, after, rules);
  const remaining = dropVanished(entries, after);
  if (isLeaf(changed)) return remaining;
  return assign(
    remaining.map((entry) => (isOf(entry, writer) ? entry : { ...entry, fieldsV1: without(entry.fieldsV1, changed) })),
    writer,
    (own) => union(own, changed),
  );
}

/** The record after an apply: exactly the applied fields are the writer's; forced ones leave their owners. */
export function recordApply(
  entries: readonly ManagedFieldsEntry[],
  after: Record<string, unknown>,
  applied: FieldSet,
  taken: FieldSet,
  writer: Writer,
): ManagedFieldsEntry[] {
  return assign(
    dropVanished(entries, after).map((entry) =>
      isOf(entry, writer) ? entry : { ...entry, fieldsV1: without(entry.fieldsV1, taken) },
    ),
    writer,
    () => applied,
  );
}

export function isOf(entry: ManagedFieldsEntry, writer: Writer): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === writer.operation &&
    entry.apiVersion === writer.apiVersion &&
    entry.subresource === writer.subresource
  );
}

function dropVanished(entries: readonly ManagedFieldsEntry[], after: Record<string, unknown>): ManagedFieldsEntry[] {
  return entries
    .map((entry) => ({
      ...entry,
      fieldsV1: keepLeaves(entry.fieldsV1, [], (path) => valueAt(after, path) !== undefined),
    }))
    .filter((entry) => !isLeaf(entry.fieldsV1));
}

function assign(
  entries: readonly ManagedFieldsEntry[],
  writer: Writer,
  fields: (own: FieldSet) => FieldSet,
): ManagedFieldsEntry[] {
  const own = entries.find((entry) => isOf(entry, writer));
  const updated: ManagedFieldsEntry = {
    manager: writer.manager,
    operation: writer.operation,
    apiVersion: writer.apiVersion,
    time: writer.time,
    fieldsType: 'FieldsV1',
    fieldsV1: fields(own?.fieldsV1 ?? {}),
    ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
  };
  return [...entries.filter((entry) => entry !== own && !isLeaf(entry.fieldsV1)), updated];
}
