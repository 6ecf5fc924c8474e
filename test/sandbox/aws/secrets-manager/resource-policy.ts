import { AwsError } from '../service.ts';

interface Statement {
  readonly Effect?: unknown;
  readonly Principal?: unknown;
  readonly Condition?: unknown;
}

/** @throws AwsError MalformedPolicyDocumentException */
export function parsePolicy(text: string): readonly Statement[] {
  try {
    const { Statement: statements } = JSON.parse(text) as { Statement?: Statement | Statement[] };
    if (statements !== undefined) return [statements].flat();
  } catch {
    // Answered below, like every other text that is not a policy.
  }
  throw new AwsError('MalformedPolicyDocumentException', 'This resource policy contains invalid Json');
}

/** Broad access as BlockPublicPolicy means it: everybody, on no condition. */
export function isPublic(statements: readonly Statement[]): boolean {
  return statements.some(
    ({ Effect, Principal, Condition }) =>
      Effect === 'Allow' &&
      Condition === undefined &&
      (Principal === '*' || (Principal as { AWS?: unknown } | undefined)?.AWS === '*'),
  );
}
