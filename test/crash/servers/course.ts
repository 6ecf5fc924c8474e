/** What is struck, again and again on one server, each time by something else. */
export interface Course<Planned, Possible> {
  /**
   * @returns what could have struck instead
   * @throws Error when a promise of docs/reliability.md is broken
   */
  run(planned?: Planned): Promise<Possible>;
  close(): Promise<void>;
}

/** Every version of a secret is looked through at every call: after so many runs, another secret is quicker. */
const RUNS_OF_ONE = 25;

/** Whose runs take the same secret one after the other, as each leaves it ready for the next. One that fails does not. */
export function sharing<Secret, Planned, Possible>({
  begin,
  run,
  drop,
}: {
  readonly begin: () => Promise<Secret>;
  readonly run: (secret: Secret, planned: Planned | undefined) => Promise<Possible>;
  readonly drop: (secret: Secret) => Promise<void>;
}): Course<Planned, Possible> {
  let shared: Secret | undefined;
  let runs = 0;
  const close = async () => {
    const last = shared;
    shared = undefined;
    if (last !== undefined) await drop(last);
  };
  return {
    async run(planned) {
      if (runs % RUNS_OF_ONE === 0) await close();
      runs += 1;
      shared ??= await begin();
      try {
        return await run(shared, planned);
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
  };
}
