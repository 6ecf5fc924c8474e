import { setImmediate } from 'node:timers/promises';

/** Work that nobody awaits (deliveries, polls, retries), so that a test can wait for all of it and see its defects. */
export interface BackgroundWork {
  /** A rejection is a defect of the sandbox: `settled` throws it. */
  run(work: () => Promise<void>): void;
  readonly underWay: number;
  /** Resolves when nothing is under way, and nothing was begun by what just ended. */
  settled(): Promise<void>;
}

export function createBackgroundWork(): BackgroundWork {
  const underWay = new Set<Promise<void>>();
  const defects: unknown[] = [];

  return {
    run(work) {
      const running = work()
        .catch((thrown: unknown) => {
          defects.push(thrown);
        })
        .finally(() => underWay.delete(running));
      underWay.add(running);
    },
    get underWay() {
      return underWay.size;
    },
    async settled() {
      do {
        await Promise.all(underWay);
        await setImmediate();
      } while (underWay.size > 0);
      if (defects.length > 0) throw new AggregateError(defects.splice(0), 'background work of the sandbox failed');
    },
  };
}
