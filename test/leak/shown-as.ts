import { inspect } from 'node:util';
import { safeError } from '../../shared/operations/logger.ts';

/** Every way in which an error, or whatever a value hangs on, is ever shown. */
export function shownAs(thing: unknown): string {
  const { stack, cause } = thing as Error;
  const views = [
    String(thing),
    stack,
    cause,
    inspect(thing, { depth: 20, showHidden: true }),
    JSON.stringify(thing),
    JSON.stringify(thing, Object.getOwnPropertyNames(thing)),
    JSON.stringify(safeError(thing)),
  ];
  return views.map(String).join('\n');
}

/** What the work throws, which it must. */
export async function thrownBy(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
