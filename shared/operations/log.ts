/** What the core writes down; a logger that prints is an adapter. An `error` is reduced there to what is safe. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
