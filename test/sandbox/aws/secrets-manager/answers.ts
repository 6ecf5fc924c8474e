import type { Secret } from './secret.ts';

/** What answers of several operations have in common. */

export const DAY_MS = 24 * 60 * 60 * 1000;
export const INVALID = 'InvalidParameterException';

export function identityOf({ arn, name }: Secret): { ARN: string; Name: string } {
  return { ARN: arn, Name: name };
}

export function stagesOf(secret: Secret): Record<string, readonly string[]> | undefined {
  const labelled = secret.versions.filter(({ stages }) => stages.length > 0);
  return labelled.length > 0 ? Object.fromEntries(labelled.map(({ id, stages }) => [id, stages])) : undefined;
}

export function dateOf(epochMs: number | undefined): Date | undefined {
  return epochMs === undefined ? undefined : new Date(epochMs);
}
