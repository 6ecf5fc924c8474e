import type { SQSEvent } from 'aws-lambda';
import * as z from 'zod/mini';
import { RekeyError } from '../../shared/operations/errors.ts';

/** Somebody asks what would happen: `{"plan": "<name or ARN of a secret>"}`. */
const request = z.strictObject({
  // Secrets Manager API, SecretId.
  plan: z.string().check(z.regex(/^[\w/+=.@!:-]{1,2048}$/)),
});

/**
 * The secret that a plan is asked for: its name or ARN.
 * @throws RekeyError EVENT_INVALID
 */
export function parsePlanRequest(event: unknown): string {
  const parsed = request.safeParse(event);
  if (parsed.success) return parsed.data.plan;
  throw new RekeyError(
    'EVENT_INVALID',
    'a plan is asked for with {"plan": "<name or ARN of a secret>"} and nothing beside it',
    'Correct the payload of the invocation.',
  );
}

export function isBatch(event: unknown): event is SQSEvent {
  return typeof event === 'object' && event !== null && 'Records' in event && Array.isArray(event.Records);
}
