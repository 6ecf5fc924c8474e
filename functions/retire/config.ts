import { RekeyError } from '../../shared/operations/errors.ts';
import { readRotationFunctions } from '../rotation-functions.ts';

export interface RetireConfig {
  /** Its own queue: where a message that has to wait goes back to. */
  readonly queueUrl: string;
  /** ARNs, separated by blanks in REKEY_ROTATION_FUNCTIONS. */
  readonly rotationFunctions: readonly string[];
}

/** @throws RekeyError CONFIG_INVALID with all faults at once */
export function readRetireConfig(env: NodeJS.ProcessEnv): RetireConfig {
  const faults: string[] = [];
  const queueUrl = env['REKEY_QUEUE_URL'] ?? '';
  if (!URL.canParse(queueUrl)) faults.push('REKEY_QUEUE_URL is not a URL');
  const rotationFunctions = readRotationFunctions(env, faults);
  if (rotationFunctions.length === 0) faults.push('REKEY_ROTATION_FUNCTIONS is missing');
  if (faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { queueUrl, rotationFunctions };
}
