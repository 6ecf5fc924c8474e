import type { Deadline } from '../operations/deadline.ts';
import type { Credentials, RefusalReason, Witness } from './port.ts';

/** Why a server refused a user, as far as the server itself or a witness says; undefined when it was no login. */
export type ReasonOf<ServerRefusal> = (
  refusal: ServerRefusal,
  username: string,
  deadline: Deadline,
  witness?: Witness,
) => Promise<RefusalReason | undefined>;

/**
 * Why a user was refused, where an administrator may know more than the server told. Where there is none, or it cannot
 * say, what the server told stands.
 * @param look as the administrator; undefined where nothing speaks against the refusal as it is
 */
export async function reasonSeenBy(
  findWitness: Witness | undefined,
  told: RefusalReason,
  look: (witness: Credentials) => Promise<RefusalReason | undefined>,
): Promise<RefusalReason> {
  try {
    const witness = await findWitness?.();
    return (witness && (await look(witness))) ?? told;
  } catch {
    return told;
  }
}
