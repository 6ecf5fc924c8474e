/**
 * Every failure that Rekey reports has a code from this catalogue. The code is stable: alarms and runbooks may
 * rely on it. `docs/errors.md` lists the same codes, and a test holds the two together.
 */
interface Entry {
  /** Whether the same call may succeed later with nothing changed. */
  readonly retryable: boolean;
  /** What a person should do next. */
  readonly action: string;
}

export const ERROR_CATALOGUE = {
  EVENT_INVALID: {
    retryable: false,
    action: 'Invoke this function only through Secrets Manager, its queue or its schedule.',
  },
  CONFIG_INVALID: { retryable: false, action: 'Correct the environment variables of the function and deploy again.' },
  DEADLINE_TOO_CLOSE: {
    retryable: true,
    action: 'Nothing was changed. Raise the function time-out if this repeats.',
  },
  EVENT_NOT_SENT: {
    retryable: true,
    action: 'The work itself was done. Check that the function may put events on the bus and that the bus exists.',
  },
  QUEUE_UNAVAILABLE: {
    retryable: true,
    action: "The message that started this comes back by itself. Check the queue and the function's right to send.",
  },
  TAG_INVALID: {
    retryable: false,
    action: 'Correct or remove the tag on the secret; nothing was changed.',
  },
  UNEXPECTED: { retryable: false, action: 'This is a defect in Rekey: report it with the log of this invocation.' },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/**
 * The one error type. `message` says what happened and never holds a secret value; the cause is never attached,
 * because drivers put statements, and with them passwords, into their errors.
 */
export class RekeyError extends Error {
  override readonly name = 'RekeyError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly action: string;

  /** @param action replaces the catalogue's advice where the exact statement or value to use is known */
  constructor(code: ErrorCode, what: string, action?: string) {
    super(`${code}: ${what}`);
    this.code = code;
    this.retryable = ERROR_CATALOGUE[code].retryable;
    this.action = action ?? ERROR_CATALOGUE[code].action;
  }
}

/** Any thrown thing as a RekeyError. An unknown one loses its message: it may quote a statement or a value. */
export function asRekeyError(thrown: unknown): RekeyError {
  if (thrown instanceof RekeyError) return thrown;
  const kind = thrown instanceof Error ? thrown.constructor.name : typeof thrown;
  return new RekeyError('UNEXPECTED', `an unexpected ${kind} was thrown`);
}
