import { randomUUID } from 'node:crypto';
import { type EventEnvelope, formatEventTime } from '../event-bridge/event.ts';
import { holderOf, type Secret } from './secret.ts';

export type RotationEventName =
  | 'RotationStarted'
  | 'RotationSucceeded'
  | 'RotationFailed'
  | 'RotationAbandoned'
  | 'TestRotationStarted'
  | 'TestRotationSucceeded'
  | 'TestRotationFailed';

/** Where and when an event happened. */
export interface Occurrence {
  readonly accountId: string;
  readonly region: string;
  readonly atMs: number;
}

/** The labels whose moves are announced: all but these two (user guide, "Secret Label Updated"). */
const UNANNOUNCED = ['AWSPENDING', 'AWSPREVIOUS'];

/** What a change of a secret announces by itself. */
export function eventsOfChange(before: Secret | undefined, after: Secret, occurrence: Occurrence): EventEnvelope[] {
  const moved = after.versions.flatMap(({ id, stages }) =>
    stages
      .filter((stage) => !UNANNOUNCED.includes(stage) && (before && holderOf(before, stage)?.id) !== id)
      .map((stage) => labelUpdated(after, stage, id, occurrence)),
  );
  return before && abandonsRotation(before, after)
    ? [...moved, rotationEvent('RotationAbandoned', after.arn, occurrence)]
    : moved;
}

/** CloudTrail log entries of the user guide: a service event, not an API call. */
export function rotationEvent(
  eventName: RotationEventName,
  secretArn: string,
  occurrence: Occurrence,
  errorMessage?: string,
): EventEnvelope {
  return envelope('AWS Service Event via CloudTrail', [], occurrence, {
    eventVersion: '1.08',
    userIdentity: { accountId: occurrence.accountId, invokedBy: 'secretsmanager.amazonaws.com' },
    eventTime: formatEventTime(occurrence.atMs),
    eventSource: 'secretsmanager.amazonaws.com',
    eventName,
    awsRegion: occurrence.region,
    sourceIPAddress: 'secretsmanager.amazonaws.com',
    userAgent: 'secretsmanager.amazonaws.com',
    ...(errorMessage !== undefined && { errorMessage }),
    requestParameters: null,
    responseElements: null,
    additionalEventData: { SecretId: secretArn },
    eventID: randomUUID(),
    readOnly: false,
    eventType: 'AwsServiceEvent',
    managementEvent: true,
    recipientAccountId: occurrence.accountId,
    eventCategory: 'Management',
  });
}

/** AWSCURRENT went to a new version while another one was pending, and that one lost AWSPENDING by it. */
function abandonsRotation(before: Secret, after: Secret): boolean {
  const pending = holderOf(before, 'AWSPENDING')?.id;
  const current = holderOf(after, 'AWSCURRENT')?.id;
  return (
    pending !== undefined &&
    pending !== current &&
    current !== holderOf(before, 'AWSCURRENT')?.id &&
    holderOf(after, 'AWSPENDING')?.id !== pending
  );
}

function labelUpdated(secret: Secret, label: string, versionId: string, occurrence: Occurrence): EventEnvelope {
  const detail = { name: secret.name, labelUpdated: label, versionId };
  return envelope('Secret Label Updated', [secret.arn], occurrence, detail);
}

function envelope(
  detailType: string,
  resources: readonly string[],
  { accountId, region, atMs }: Occurrence,
  detail: object,
): EventEnvelope {
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': detailType,
    source: 'aws.secretsmanager',
    account: accountId,
    time: formatEventTime(atMs),
    region,
    resources,
    detail,
  };
}
