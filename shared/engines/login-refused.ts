import { RekeyError } from '../operations/errors.ts';
import type { PeerChange, Refusal, RefusalReason } from './port.ts';

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

/**
 * The failure of a session in which someone acts, with the reason where it is that the login was refused.
 * @param findReason undefined where neither the server nor a witness says
 */
export async function withReason(
  failure: RekeyError,
  username: string,
  findReason: () => Promise<RefusalReason | undefined>,
): Promise<RekeyError> {
  if (failure.code !== 'LOGIN_REFUSED') return failure;
  return new LoginRefused(username, (await findReason()) ?? 'not-permitted', failure.what, failure.action);
}

/**
 * The change of a peer, which is not begun where the server refuses the current user.
 * @param look as the current user
 * @param change as the other one
 */
export async function changeUnlessRefused<Seen>(
  look: Promise<Seen>,
  change: (seen: Seen) => Promise<PeerChange>,
): Promise<PeerChange> {
  const seen = await unlessRefused(look);
  if (seen instanceof LoginRefused) return { kind: 'refused', login: 'current', refusal: seen.refusal };
  const outcome = await unlessRefused(change(seen));
  return outcome instanceof LoginRefused ? { kind: 'refused', login: 'other', refusal: outcome.refusal } : outcome;
}

/** What the work gives, or that the server refused the login that it began with. */
async function unlessRefused<T>(work: Promise<T>): Promise<T | LoginRefused> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof LoginRefused) return error;
    throw error;
  }
}
