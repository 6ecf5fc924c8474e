import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { AWS_CLIENT } from './aws-client.ts';
import { RekeyError } from './errors.ts';
import { type Announcer, EVENT_SCHEMA_VERSION, EVENT_SOURCE, type RekeyEvent } from './events.ts';
import type { Logger } from './logger.ts';

/** An EventBridge entry may hold 256 KB; the rest is room for the envelope. */
const MAX_DETAIL_BYTES = 240_000;

/** @param busName the bus that people's rules and Rekey's retire queue listen on */
export function createEventBridgeAnnouncer(
  busName: string,
  log: Logger,
  client: Pick<EventBridgeClient, 'send'> = new EventBridgeClient(AWS_CLIENT),
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
        return true;
      } catch (error) {
        log.error('could not announce', {
          event: event.type,
          ...idsOf(event),
          error: error instanceof RekeyError ? error : new RekeyError('EVENT_NOT_SENT', nameOf(error)),
        });
        return false;
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

/** How many entries of a list an event keeps at first, when it does not fit as a whole. */
const KEPT_ENTRIES = 50;

/**
 * The proof of a very large estate does not fit into one event: then its lists are cut, those inside lists too (one
 * DaemonSet may have thousands of pods), and it says so. The bus would refuse it, and retire would never hear of it.
 */
function detailOf({ detail }: RekeyEvent): string {
  const whole = JSON.stringify({ schemaVersion: EVENT_SCHEMA_VERSION, ...detail });
  if (fits(whole)) return whole;
  for (let kept = KEPT_ENTRIES; ; kept = Math.ceil(kept / 2)) {
    const short = JSON.stringify({ schemaVersion: EVENT_SCHEMA_VERSION, truncated: true, ...detail }, (_key, value) =>
      Array.isArray(value) ? value.slice(0, kept) : value,
    );
    if (fits(short) || kept === 1) return short;
  }
}

function fits(detail: string): boolean {
  return Buffer.byteLength(detail) <= MAX_DETAIL_BYTES;
}
