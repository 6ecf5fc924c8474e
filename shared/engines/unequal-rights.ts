import { RekeyError } from '../operations/errors.ts';
import type { UserPair } from './port.ts';

/** The alternate user may not be promoted. @param why one sentence for each difference */
export const unequalRights = (
  { current, alternate }: Pick<UserPair, 'current' | 'alternate'>,
  why: readonly string[],
) => new RekeyError('RIGHTS_DIFFER', `${alternate} cannot do what ${current} can: ${why.join('; ')}`);
