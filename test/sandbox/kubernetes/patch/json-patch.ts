import { isRecord, sameJson } from '../objects.ts';

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

/** The document and the operations do not fit together. */
export class PatchFailed extends Error {}

/** RFC 6902, all operations or none. @throws PatchFailed */
export function applyJsonPatch(target: unknown, operations: readonly JsonPatchOperation[]): unknown {
  const root = { '': structuredClone(target) };
  for (const operation of operations) {
    const path = pointer(operation.path);
    switch (operation.op) {
      case 'add':
        add(root, path, structuredClone(operation.value));
        break;
      case 'remove':
        remove(root, path);
        break;
      case 'replace':
        remove(root, path);
        add(root, path, structuredClone(operation.value));
        break;
      case 'move': {
        const from = pointer(operation.from);
        add(root, path, remove(root, from));
        break;
      }
      case 'copy':
        add(root, path, structuredClone(get(root, pointer(operation.from))));
        break;
      case 'test':
        if (!sameJson(get(root, path), operation.value)) {
          throw new PatchFailed(`testing path ${operation.path} failed`);
        }
        break;
      default:
        throw new PatchFailed(`unexpected kind of operation: ${operation.op}`);
    }
  }
  return root[''];
}

/** RFC 6901; the document itself is the member with the empty name of a root object. */
function pointer(text: string | undefined): string[] {
  if (text === undefined || (text !== '' && !text.startsWith('/'))) throw new PatchFailed(`invalid path: ${text}`);
  return [
    '',
    ...text
      .split('/')
      .slice(1)
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')),
  ];
}

function get(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const token of path) {
    if (Array.isArray(value)) value = value[arrayIndex(value, token, value.length - 1)];
    else if (isRecord(value) && Object.hasOwn(value, token)) value = value[token];
    else throw new PatchFailed(`missing value at ${path.join('/')}`);
  }
  return value;
}

function parent(root: unknown, path: readonly string[]): { holder: unknown; last: string } {
  return { holder: get(root, path.slice(0, -1)), last: path.at(-1) ?? '' };
}

function add(root: unknown, path: readonly string[], value: unknown): void {
  const { holder, last } = parent(root, path);
  if (Array.isArray(holder)) {
    holder.splice(last === '-' ? holder.length : arrayIndex(holder, last, holder.length), 0, value);
  } else if (isRecord(holder)) holder[last] = value;
  else throw new PatchFailed(`cannot add at ${path.join('/')}`);
}

function remove(root: unknown, path: readonly string[]): unknown {
  const { holder, last } = parent(root, path);
  if (Array.isArray(holder)) return holder.splice(arrayIndex(holder, last, holder.length - 1), 1)[0];
  if (!isRecord(holder) || !Object.hasOwn(holder, last))
    throw new PatchFailed(`nothing to remove at ${path.join('/')}`);
  const value = holder[last];
  delete holder[last];
  return value;
}

function arrayIndex(array: readonly unknown[], token: string, highest: number): number {
  const index = /^(0|[1-9]\d*)$/.test(token) ? Number(token) : Number.NaN;
  if (!(index <= highest)) throw new PatchFailed(`invalid index ${token} for an array of ${array.length}`);
  return index;
}
