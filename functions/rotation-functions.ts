/**
 * ARNs of Rekey's functions that rotate, separated by blanks in REKEY_ROTATION_FUNCTIONS; none where there are none.
 * @param faults what is wrong is added here
 */
export function readRotationFunctions(
  env: Readonly<Record<string, string | undefined>>,
  faults: string[],
): readonly string[] {
  const arns = (env['REKEY_ROTATION_FUNCTIONS'] ?? '').split(' ').filter(Boolean);
  if (!arns.every((arn) => /^arn:aws[a-z-]*:lambda:/.test(arn)))
    faults.push('REKEY_ROTATION_FUNCTIONS is not a list of function ARNs, separated by blanks');
  return arns;
}
