import { setTimeout as delay } from 'node:timers/promises';

/** Waits for another process: polls until the condition holds. @throws after ten seconds */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come true in time');
    await delay(10);
  }
}
