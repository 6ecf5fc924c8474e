import { z } from 'zod';
import { AwsError } from '../service.ts';
import { MAX_MESSAGE_BYTES } from './message.ts';
import type { Queue, QueueSettings } from './queue.ts';

/** SetQueueAttributes API: each with its default, least and greatest value. */
const NUMBERS = {
  DelaySeconds: [0, 0, 900],
  MaximumMessageSize: [MAX_MESSAGE_BYTES, 1_024, MAX_MESSAGE_BYTES],
  MessageRetentionPeriod: [345_600, 60, 1_209_600],
  ReceiveMessageWaitTimeSeconds: [0, 0, 20],
  VisibilityTimeout: [30, 0, 43_200],
} as const satisfies Partial<Record<keyof QueueSettings, readonly [number, number, number]>>;
type NumberName = keyof typeof NUMBERS;

/** Kept and given back, but without effect here: encryption and policies are not simulated. */
const KEPT = ['Policy', 'KmsMasterKeyId', 'KmsDataKeyReusePeriodSeconds', 'SqsManagedSseEnabled', 'RedriveAllowPolicy'];

const redriveSchema = z.object({
  deadLetterTargetArn: z.string(),
  maxReceiveCount: z.coerce.number().int().min(1).max(1_000),
});

export function defaultSettings(): QueueSettings {
  return {
    DelaySeconds: NUMBERS.DelaySeconds[0],
    MaximumMessageSize: NUMBERS.MaximumMessageSize[0],
    MessageRetentionPeriod: NUMBERS.MessageRetentionPeriod[0],
    ReceiveMessageWaitTimeSeconds: NUMBERS.ReceiveMessageWaitTimeSeconds[0],
    VisibilityTimeout: NUMBERS.VisibilityTimeout[0],
    redrive: undefined,
    kept: new Map([['SqsManagedSseEnabled', 'true']]),
  };
}

/**
 * @returns the settings with these attributes set; the given ones stay as they are
 * @throws AwsError InvalidAttributeName, InvalidAttributeValue, UnsupportedOperation
 */
export function withAttributes(
  settings: QueueSettings,
  attributes: Readonly<Record<string, string>>,
  exists: (queueArn: string) => boolean,
): QueueSettings {
  const next = { ...settings, kept: new Map(settings.kept) };
  for (const [name, value] of Object.entries(attributes)) {
    if (isNumberName(name)) next[name] = parseNumber(name, value);
    else if (name === 'RedrivePolicy') next.redrive = parseRedrive(value, exists);
    else if (KEPT.includes(name)) next.kept.set(name, value);
    else if (name === 'FifoQueue' || name === 'ContentBasedDeduplication')
      throw new AwsError('UnsupportedOperation', 'FIFO queues are not simulated here.');
    else throw new AwsError('InvalidAttributeName', `Unknown Attribute ${name}.`);
  }
  return next;
}

/** What GetQueueAttributes answers. @throws AwsError InvalidAttributeName */
export function attributesOf(queue: Queue, createdAtMs: number, wanted: readonly string[]): Record<string, string> {
  const { settings } = queue;
  const { visible, inFlight, delayed } = queue.count();
  const seconds = String(Math.floor(createdAtMs / 1_000));
  const all: Record<string, string> = {
    QueueArn: queue.arn,
    ApproximateNumberOfMessages: String(visible),
    ApproximateNumberOfMessagesNotVisible: String(inFlight),
    ApproximateNumberOfMessagesDelayed: String(delayed),
    CreatedTimestamp: seconds,
    LastModifiedTimestamp: seconds,
    ...Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, String(settings[name as NumberName])])),
    ...(settings.redrive ? { RedrivePolicy: JSON.stringify(settings.redrive) } : {}),
    ...Object.fromEntries(settings.kept),
  };
  if (wanted.includes('All')) return all;
  const known = [...Object.keys(all), 'RedrivePolicy', ...KEPT];
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new AwsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
  return Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name)));
}

function isNumberName(name: string): name is NumberName {
  return Object.hasOwn(NUMBERS, name);
}

function parseNumber(name: NumberName, value: string): number {
  const [, least, greatest] = NUMBERS[name];
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > greatest)
    throw new AwsError('InvalidAttributeValue', `Invalid value for the parameter ${name}.`);
  return number;
}

/** An empty text takes the policy away. */
function parseRedrive(value: string, exists: (queueArn: string) => boolean): QueueSettings['redrive'] {
  if (value === '') return undefined;
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    throw invalidRedrive('it is not valid JSON');
  }
  const parsed = redriveSchema.safeParse(json);
  if (!parsed.success) throw invalidRedrive(z.prettifyError(parsed.error));
  if (!exists(parsed.data.deadLetterTargetArn)) throw invalidRedrive('Dead letter target does not exist');
  return parsed.data;
}

function invalidRedrive(reason: string): AwsError {
  return new AwsError('InvalidParameterValue', `Value for parameter RedrivePolicy is invalid. Reason: ${reason}.`);
}
