import { inspect } from 'node:util';

/** What every attempt to print a {@link SecretValue} shows. */
const REDACTED = '[secret]';

/**
 * A value that cannot be printed: not by a template string, JSON, util.inspect or a logger.
 * `expose()` is the only way out, so a search for it finds every place that reads one.
 */
export class SecretValue<T = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  expose(): T {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
