import type { Credentials, RefusalReason } from './port.ts';

/**
 * What an administrator knows of a user that was refused; undefined where there is none or it cannot say: that the login
 * was refused stands.
 * @param look as the administrator; undefined where nothing speaks against the refusal as it is
 */
export async function reasonSeenBy(
  findWitness: () => Promise<Credentials | undefined>,
  look: (witness: Credentials) => Promise<RefusalReason | undefined>,
): Promise<RefusalReason | undefined> {
  try {
    const witness = await findWitness();
    return witness && (await look(witness));
  } catch {
    return undefined;
  }
}
