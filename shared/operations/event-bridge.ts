import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { RekeyError } from './errors.ts';
import { type Announcer, EVENT_SCHEMA_VERSION, EVENT_SOURCE, type RekeyEvent } from './events.ts';
import type { Logger } from './logger.ts';

/** An EventBridge entry may hold 256 KB; the rest is room for the envelope. */
const MAX_DETAIL_BYTES = 240_000;

/** @param busName the bus that people's rules and Rekey's retire queue listen on */
export function createEventBridgeAnnouncer(
  busName: string,
  log: Logger,
  client: Pick<EventBridgeClient, 'send'> = new EventBridgeClient({ maxAttempts: 3 }),
): Announcer {
  return {
    async announce(event) {
      try {
        const { FailedEntryCount, Entries } = await client.send(
          new PutEventsCommand({
            Entries: [
              {
                EventBusName: busName,
                Source: EVENT_SOURCE,
                DetailType: event.type,
                Resources: [event.detail.secretArn],
                Detail: detailOf(event),
              },
            ],
          }),
        );
        // PutEvents answers 200 even when it took nothing.
        if (FailedEntryCount)
          throw new RekeyError('EVENT_NOT_SENT', `the bus refused the event: ${Entries?.[0]?.ErrorCode}`);
        log.info('announced', { event: event.type, ...idsOf(event) });
      } catch (error) {
        log.error('could not announce', {
          event: event.type,
          ...idsOf(event),
          error: error instanceof RekeyError ? error : new RekeyError('EVENT_NOT_SENT', nameOf(error)),
        });
      }
    },
  };
}

function idsOf({ detail: { secretArn, versionId } }: RekeyEvent) {
  return { secretArn, versionId };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'the call failed';
}

/** The proof of a very large estate does not fit into one event: then it says how much was left out. */
function detailOf(event: RekeyEvent): string {
  const whole = JSON.stringify({ schemaVersion: EVENT_SCHEMA_VERSION, ...event.detail });
  if (Buffer.byteLength(whole) <= MAX_DETAIL_BYTES) return whole;
  const short = Object.fromEntries(
    Object.entries(event.detail).map(([key, value]) =>
      Array.isArray(value) ? [key, value.slice(0, 50)] : [key, value],
    ),
  );
  return JSON.stringify({ schemaVersion: EVENT_SCHEMA_VERSION, truncated: true, ...short });
}
