/** Counts the work under way in a cluster, so that a test can wait until nothing more will happen by itself. */
export class Activity {
  #running = 0;
  #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #failure: { readonly error: unknown } | undefined;

  /** @returns a function that ends the piece of work; calling it twice is harmless */
  begin(): () => void {
    this.#running += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#running -= 1;
      // What ended may have caused something that is only about to begin.
      setImmediate(() => this.#settle());
    };
  }

  /** A component failed: that is a defect of the sandbox, and whoever waits must hear of it. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#settle();
  }

  /** Resolves when no work is under way. Waiting for a time-out of the cluster (a back-off, a deadline) is not work. */
  async idle(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      setImmediate(() => this.#settle());
    });
  }

  #settle(): void {
    if (this.#failure === undefined && this.#running > 0) return;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#failure === undefined) resolve();
      else reject(this.#failure.error);
    }
  }
}

/** What a reconciliation asks for: to be called again after some time, if nothing else calls it before. */
export type Again =
  /** `expected`: the cluster is not idle before that. */
  undefined | { readonly afterMs: number; readonly expected: boolean };

/**
 * A work queue over keys. A key that is already waiting is not added again, keys are worked on one at a time, and
 * nothing is remembered of why one was added: the reconciliation looks at the cluster as it is.
 */
export class Reconciler {
  readonly #reconcile: (namespace: string, name: string) => Again | Promise<Again>;
  readonly #activity: Activity;
  readonly #waiting = new Set<string>();
  /** Being worked on, and whether they were added again meanwhile. */
  readonly #working = new Map<string, { again: boolean }>();
  readonly #timers = new Map<string, () => void>();
  readonly #stopWatching: (() => void)[] = [];
  /** What came while nothing is to be worked on. */
  #held: Map<string, readonly [namespace: string, name: string]> | undefined;
  #stopped = false;

  constructor(activity: Activity, reconcile: (namespace: string, name: string) => Again | Promise<Again>) {
    this.#activity = activity;
    this.#reconcile = reconcile;
  }

  /** Adds keys for as long as the reconciler runs. @param stop ends it */
  source(stop: () => void): this {
    this.#stopWatching.push(stop);
    return this;
  }

  enqueue(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    if (this.#stopped || this.#waiting.has(key)) return;
    if (this.#held !== undefined) {
      this.#held.set(key, [namespace, name]);
      return;
    }
    const working = this.#working.get(key);
    if (working !== undefined) {
      working.again = true;
      return;
    }
    this.#waiting.add(key);
    const done = this.#activity.begin();
    setImmediate(() => {
      this.#waiting.delete(key);
      if (this.#stopped) return done();
      let asked: Again | Promise<Again>;
      try {
        asked = this.#reconcile(namespace, name);
      } catch (thrown) {
        this.#activity.fail(thrown);
        return done();
      }
      if (!(asked instanceof Promise)) {
        this.#schedule(namespace, name, asked);
        return done();
      }
      void this.#await(namespace, name, asked).finally(done);
    });
  }

  async #await(namespace: string, name: string, asked: Promise<Again>): Promise<void> {
    const key = `${namespace}/${name}`;
    const working = { again: false };
    this.#working.set(key, working);
    try {
      const again = await asked;
      if (!this.#stopped && !working.again) this.#schedule(namespace, name, again);
    } catch (thrown) {
      if (!this.#stopped) this.#activity.fail(thrown);
    } finally {
      this.#working.delete(key);
      if (working.again) this.enqueue(namespace, name);
    }
  }

  /** Works on nothing until the returned function is called. What comes meanwhile waits, and is no work under way. */
  hold(): () => void {
    this.#held ??= new Map();
    return () => {
      const waiting = [...(this.#held?.values() ?? [])];
      this.#held = undefined;
      for (const [namespace, name] of waiting) this.enqueue(namespace, name);
    };
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stopWatching) stop();
    for (const cancel of this.#timers.values()) cancel();
  }

  #schedule(namespace: string, name: string, again: Again): void {
    const key = `${namespace}/${name}`;
    this.#timers.get(key)?.();
    if (again === undefined) return;
    const done = again.expected ? this.#activity.begin() : () => {};
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.enqueue(namespace, name);
      done();
    }, again.afterMs);
    timer.unref();
    this.#timers.set(key, () => {
      clearTimeout(timer);
      this.#timers.delete(key);
      done();
    });
  }
}
