/**
 * For every client of AWS. Time-outs are opt-in in the SDK. With these, three attempts stay under ten seconds, so that
 * a missing VPC endpoint is reported before Lambda ends the invocation, and a deaf event bus fails no rotation.
 */
export const AWS_CLIENT = {
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
} as const;
