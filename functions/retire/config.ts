import { RekeyError } from '../../shared/operations/errors.ts';

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
  const rotationFunctions = (env['REKEY_ROTATION_FUNCTIONS'] ?? '').split(' ').filter(Boolean);
  if (rotationFunctions.length === 0) faults.push('REKEY_ROTATION_FUNCTIONS is missing');
  if (!rotationFunctions.every((arn) => /^arn:aws[a-z-]*:lambda:/.test(arn)))
    faults.push('REKEY_ROTATION_FUNCTIONS is not a list of function ARNs, separated by blanks');
  if (faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { queueUrl, rotationFunctions };
}
