import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for something that another process brings about.
 * @param look answers undefined or false for "not yet"
 * @throws Error that names `what` after `withinMs`
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs = 30_000,
): Promise<Exclude<T, undefined | false>> {
  const endsAtMs = Date.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen as Exclude<T, undefined | false>;
    if (Date.now() > endsAtMs) throw new Error(`waited ${withinMs / 1_000} s in vain for: ${what}`);
    await delay(50);
  }
}
