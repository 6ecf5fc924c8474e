import { RekeyError } from '../operations/errors.ts';
import { CURRENT, PENDING } from './port.ts';
import { parseTags } from './tags.ts';

/** What Secrets Manager says of a secret that it rotates. Times are epoch milliseconds. */
export interface RotatedSecret {
  readonly arn: string;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
  /** Undefined: never. */
  readonly rotatedAtMs: number | undefined;
  /**
   * The end of the window of the next rotation; after one that failed for good, of the last (DescribeSecret,
   * NextRotationDate). Undefined: nothing is scheduled.
   */
  readonly dueAtMs: number | undefined;
  readonly stages: ReadonlyMap<string, readonly string[]>;
  readonly tags: ReadonlyMap<string, string>;
}

/** All secrets that a set of functions rotates, and when. */
export interface Rotations {
  /**
   * Without those that are scheduled for deletion or whose rotation is off.
   * @param functionArns of rotation functions
   * @throws RekeyError ACCESS_DENIED, SECRETS_MANAGER_UNAVAILABLE
   */
  rotatedBy(functionArns: readonly string[]): Promise<readonly RotatedSecret[]>;
}

/** A secret that somebody should look at. */
export type Concern =
  | { readonly kind: 'overdue'; readonly secretArn: string; readonly hours: number }
  | { readonly kind: 'pending'; readonly secretArn: string; readonly hours: number };

/** How all secrets stand: how many there are, the worst figure of any, and which of them to look at. */
export interface Findings {
  readonly secrets: number;
  readonly daysWithoutRotation: number;
  readonly hoursOverdue: number;
  readonly hoursPending: number;
  readonly concerns: readonly Concern[];
}

const HOUR_MS = 3_600_000;
/** Secrets Manager tries a rotation again for hours by itself. */
const PENDING_FOR_HOURS = 1;

/** What no event tells: a rotation that did not happen, and one that began and did not end. */
export function lookAtRotations(secrets: readonly RotatedSecret[], nowMs: number): Findings {
  const hoursSince = (ms: number | undefined) => (ms === undefined ? 0 : Math.max(0, nowMs - ms) / HOUR_MS);
  const expected = secrets.filter((secret) => !isHeld(secret, nowMs));
  const overdue = expected.map(({ arn, dueAtMs }) => ({ secretArn: arn, hours: hoursSince(dueAtMs) }));
  const pending = expected.filter(isPending).map(({ arn, changedAtMs }) => ({
    secretArn: arn,
    // Storing the pending value was the last change, or one after it was: then it is told later, never too early.
    hours: hoursSince(changedAtMs),
  }));
  return {
    secrets: secrets.length,
    daysWithoutRotation: most(
      expected.map(({ rotatedAtMs, createdAtMs }) => hoursSince(rotatedAtMs ?? createdAtMs) / 24),
    ),
    hoursOverdue: most(overdue.map(({ hours }) => hours)),
    hoursPending: most(pending.map(({ hours }) => hours)),
    concerns: [
      ...overdue.filter(({ hours }) => hours > 0).map((each) => ({ kind: 'overdue', ...each }) as const),
      ...pending
        .filter(({ hours }) => hours > PENDING_FOR_HOURS)
        .map((each) => ({ kind: 'pending', ...each }) as const),
    ],
  };
}

const most = (values: readonly number[]) => Math.max(0, ...values);

const isPending = ({ stages }: RotatedSecret) =>
  [...stages.values()].some((labels) => labels.includes(PENDING) && !labels.includes(CURRENT));

/** A person froze it. A tag that is not understood froze nothing: the rotation failed, and said so. */
function isHeld({ tags }: RotatedSecret, nowMs: number): boolean {
  try {
    return (parseTags(tags).holdUntilMs ?? 0) > nowMs;
  } catch (error) {
    if (error instanceof RekeyError) return false;
    throw error;
  }
}
