import { Logger as PowertoolsLogger } from '@aws-lambda-powertools/logger';
import { asRekeyError, RekeyError } from './errors.ts';
import type { Log, LogFields } from './log.ts';

/** Structured lines, one JSON object each. */
export interface Logger extends Log {
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each of its lines. */
  with(fields: Readonly<Record<string, unknown>>): Logger;
}

/**
 * Powertools prints every enumerable property of an error and follows `cause`, and drivers keep statements with
 * passwords there. So an error is never handed to it: only what {@link safeError} lets through.
 */
export function createLogger(serviceName: string): Logger {
  return overPowertools(new PowertoolsLogger({ serviceName }));
}

function overPowertools(powertools: PowertoolsLogger): Logger {
  return {
    info: (message, fields) => powertools.info(message, printable(fields)),
    warn: (message, fields) => powertools.warn(message, printable(fields)),
    error: (message, fields) => powertools.error(message, printable(fields)),
    with: (fields) => overPowertools(powertools.createChild({ persistentKeys: { ...fields } })),
  };
}

function printable(fields: LogFields = {}): Record<string, unknown> {
  const { error, ...rest } = fields;
  return error === undefined ? rest : { ...rest, failure: safeError(error) };
}

/** An error by allow-list: code, message and advice of our own; of a foreign one only its kind and where it arose. */
export function safeError(thrown: unknown): Record<string, unknown> {
  const { code, message, retryable, action } = asRekeyError(thrown);
  const ours = { code, message, retryable, action };
  if (thrown instanceof RekeyError || !(thrown instanceof Error)) return ours;
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { ...ours, frames: frames.slice(0, 8).map((line) => line.trim()) };
}
