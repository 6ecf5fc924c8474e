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
 * What an administrator knows of a user that was refused; undefined where there is none or it cannot say: that the login
 * was refused stands.
 * @param look as the administrator; undefined where nothing speaks against the refusal as it is
 */
export async function reasonSeenBy(
  findWitness: Witness,
  look: (witness: Credentials) => Promise<RefusalReason | undefined>,
): Promise<RefusalReason | undefined> {
  try {
    const witness = await findWitness();
    return witness && (await look(witness));
  } catch {
    return undefined;
  }
}
