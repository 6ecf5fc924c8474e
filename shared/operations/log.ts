/** Ids, names, steps and durations. An `error` is reduced to what is safe to print. */
export type LogFields = { readonly error?: unknown } & Readonly<Record<string, unknown>>;

/** What the core writes down. The logger that prints it is an adapter. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
}
