import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import type { Look } from '../shared/consumers/converge.ts';
import { RekeyError } from '../shared/operations/errors.ts';
import { EVENT_SOURCE } from '../shared/operations/events.ts';
import { CURRENT } from '../shared/secrets/port.ts';
import { parseSecretArn } from '../shared/secrets/secret-arn.ts';

const LOOK_AGAIN = 'Look Again';

const ofAnySource = {
  time: z.iso.datetime({ offset: true }),
  resources: z.array(z.string()).check(z.minLength(1)),
};
const ofAnyDetail = {
  name: z.string().check(z.minLength(1)),
  labelUpdated: z.string(),
  versionId: z.string().check(z.regex(/^[\x21-\x7e]{32,64}$/)),
};

/** A label of a secret moved: AWS's own words, and ours when a pass asks for the next one. */
const message = z.discriminatedUnion('source', [
  z.looseObject({
    ...ofAnySource,
    source: z.literal('aws.secretsmanager'),
    'detail-type': z.literal('Secret Label Updated'),
    detail: z.looseObject(ofAnyDetail),
  }),
  z.looseObject({
    ...ofAnySource,
    source: z.literal(EVENT_SOURCE),
    'detail-type': z.literal(LOOK_AGAIN),
    detail: z.looseObject({
      ...ofAnyDetail,
      lookingSince: z.iso.datetime({ offset: true }),
      told: z.array(z.string()),
      rolled: z.optional(z.array(z.string())),
      refused: z.optional(z.array(z.string())),
      passesLeft: z.optional(z.int().check(z.gte(1), z.lte(100))),
    }),
  }),
]);

/**
 * @param body of the SQS message: an event as EventBridge puts it there
 * @returns undefined for a label that nobody mounts by default: nothing to do
 * @throws RekeyError EVENT_INVALID, naming the field and never the body
 */
export function parseLabelEvent(body: string, nowMs: number): Look | undefined {
  const event = parse(body);
  const { name, labelUpdated, versionId } = event.detail;
  const [secretArn = ''] = event.resources;
  if (parseSecretArn(secretArn)?.name !== name)
    throw invalid('resources: not the whole ARN of the secret in detail.name');
  if (labelUpdated !== CURRENT) return undefined;
  const of = { secretArn, secretName: name, versionId, sinceMs: Date.parse(event.time) };
  if (event.source === 'aws.secretsmanager') return { ...of, lookingSinceMs: nowMs, told: [] };
  const { lookingSince, told, rolled, refused, passesLeft } = event.detail;
  return {
    ...of,
    lookingSinceMs: Date.parse(lookingSince),
    told,
    ...(rolled === undefined ? {} : { rolled }),
    ...(refused === undefined ? {} : { refused }),
    ...(passesLeft === undefined ? {} : { passesLeft }),
  };
}

/** The message that makes the next pass, in the shape of the event that made the first. */
export function lookAgainEvent(look: Look): string {
  return JSON.stringify({
    version: '0',
    id: randomUUID(),
    source: EVENT_SOURCE,
    'detail-type': LOOK_AGAIN,
    time: new Date(look.sinceMs).toISOString(),
    resources: [look.secretArn],
    detail: {
      name: look.secretName,
      labelUpdated: CURRENT,
      versionId: look.versionId,
      lookingSince: new Date(look.lookingSinceMs).toISOString(),
      told: look.told,
      rolled: look.rolled,
      refused: look.refused,
      passesLeft: look.passesLeft,
    },
  });
}

function parse(body: string): z.infer<typeof message> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw invalid('not JSON');
  }
  const parsed = message.safeParse(json);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.join('.');
  throw invalid(path ? `see ${path}` : 'see the whole message');
}

function invalid(fault: string): RekeyError {
  return new RekeyError('EVENT_INVALID', `this is not a "Secret Label Updated" event: ${fault}`);
}
