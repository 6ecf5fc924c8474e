import { isRecord, sameJson } from '../objects.ts';
import { PatchFailed } from './json-patch.ts';
import { listMerge } from './list-keys.ts';

const DIRECTIVE = '$patch';
const DELETE_FROM_SET = '$deleteFromPrimitiveList/';
const ORDER = '$setElementOrder/';
const RETAIN_KEYS = '$retainKeys';

/**
 * Strategic merge patch of the built-in kinds: a merge patch whose keyed lists (containers, volumes, env,
 * conditions, …) merge entry by entry. Understands `$patch: replace|delete|merge`, `$retainKeys`,
 * `$deleteFromPrimitiveList/…` and `$setElementOrder/…`.
 * @throws PatchFailed when an entry lacks its key or a directive is unknown
 */
export function applyStrategicMergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return structuredClone(patch);
  return mergeMap(isRecord(target) ? target : {}, patch);
}

function mergeMap(target: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown> {
  switch (patch[DIRECTIVE]) {
    case undefined:
    case 'merge':
      break;
    case 'replace':
      return mergeMap({}, { ...patch, [DIRECTIVE]: undefined });
    case 'delete':
      return {};
    default:
      throw new PatchFailed(`unknown $patch directive: ${JSON.stringify(patch[DIRECTIVE])}`);
  }

  const merged: Record<string, unknown> = { ...target };
  const retain = patch[RETAIN_KEYS];
  if (Array.isArray(retain)) {
    for (const name of Object.keys(merged)) if (!retain.includes(name)) delete merged[name];
  }
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined || name === DIRECTIVE || name === RETAIN_KEYS || name.startsWith(ORDER)) continue;
    if (name.startsWith(DELETE_FROM_SET)) {
      const field = name.slice(DELETE_FROM_SET.length);
      const old = merged[field];
      if (Array.isArray(old) && Array.isArray(value)) merged[field] = old.filter((item) => !value.includes(item));
    } else if (value === null) delete merged[name];
    else if (Array.isArray(value))
      merged[name] = mergeList(name, { ...patch, ...merged }, merged[name], value, patch[`${ORDER}${name}`]);
    else if (isRecord(value)) {
      const old = merged[name];
      if (value[DIRECTIVE] === 'delete') delete merged[name];
      else merged[name] = mergeMap(isRecord(old) ? old : {}, value);
    } else merged[name] = value;
  }
  // An order may come alone: it only sorts.
  for (const [name, order] of Object.entries(patch)) {
    if (!name.startsWith(ORDER)) continue;
    const field = name.slice(ORDER.length);
    if (!(field in patch) && Array.isArray(merged[field]))
      merged[field] = mergeList(field, merged, merged[field], [], order);
  }
  return merged;
}

function mergeList(
  field: string,
  holder: Record<string, unknown>,
  old: unknown,
  patch: readonly unknown[],
  order: unknown,
): unknown[] {
  const target: readonly unknown[] = Array.isArray(old) ? old : [];
  const how = listMerge(field, holder);
  if (how === undefined) return structuredClone(withoutDirectives(patch));
  if (how.kind === 'set') {
    const union = [...target, ...patch.filter((item) => !target.some((one) => sameJson(one, item)))];
    return Array.isArray(order) ? inOrder(union, order, (item) => JSON.stringify(item)) : union;
  }

  const key = how.keys[0];
  const keyOf = (item: unknown): unknown => (isRecord(item) ? item[key] : undefined);
  let merged: unknown[] = patch.some((item) => isRecord(item) && item[DIRECTIVE] === 'replace') ? [] : [...target];
  for (const item of patch) {
    if (!isRecord(item)) throw new PatchFailed(`an entry of ${field} is not an object`);
    // `{$patch: replace}` alone is a marker for the whole list, not an entry.
    if (item[DIRECTIVE] === 'replace') {
      if (keyOf(item) !== undefined) merged.push(mergeMap({}, item));
      continue;
    }
    if (keyOf(item) === undefined) {
      throw new PatchFailed(`map: ${field} does not contain declared merge key: ${key}`);
    }
    const at = merged.findIndex((one) => keyOf(one) === keyOf(item));
    if (item[DIRECTIVE] === 'delete') merged = merged.filter((one) => keyOf(one) !== keyOf(item));
    else if (at < 0) merged.push(mergeMap({}, item));
    else {
      const existing = merged[at];
      merged[at] = mergeMap(isRecord(existing) ? existing : {}, item);
    }
  }
  return Array.isArray(order) ? inOrder(merged, order, (item) => JSON.stringify(keyOf(item))) : merged;
}

/** Entries that the order names come in that order; others stay behind the one that they followed. */
function inOrder(items: readonly unknown[], order: readonly unknown[], keyOf: (item: unknown) => string): unknown[] {
  const position = new Map(order.map((entry, index) => [keyOf(entry), index] as const));
  const named = items
    .filter((item) => position.has(keyOf(item)))
    .sort((left, right) => (position.get(keyOf(left)) ?? 0) - (position.get(keyOf(right)) ?? 0));
  const sorted = [...named];
  for (const [index, item] of items.entries()) {
    if (position.has(keyOf(item))) continue;
    const before = items[index - 1];
    const at = before === undefined ? -1 : sorted.indexOf(before);
    sorted.splice(at + 1, 0, item);
  }
  return sorted;
}

function withoutDirectives(patch: readonly unknown[]): unknown[] {
  return patch.filter((item) => !(isRecord(item) && item[DIRECTIVE] === 'replace' && Object.keys(item).length === 1));
}
