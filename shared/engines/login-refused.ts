import { RekeyError } from '../operations/errors.ts';
import type { Refusal, RefusalReason } from './port.ts';

/** That the server refused the login of whoever was to act, and why: so that nobody has to try it again to know. */
export class LoginRefused extends RekeyError {
  readonly username: string;
  readonly refusal: Refusal;

  constructor(username: string, reason: RefusalReason, what: string, action?: string) {
    super('LOGIN_REFUSED', what, action);
    this.username = username;
    this.refusal = { kind: 'refused', reason };
  }
}

/** What the work gives, or that the server refused the login that it began with. */
export async function unlessRefused<T>(work: Promise<T>): Promise<T | LoginRefused> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof LoginRefused) return error;
    throw error;
  }
}
