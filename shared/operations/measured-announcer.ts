import type { Clock } from './clock.ts';
import type { Announcer, RekeyEvent } from './events.ts';
import { EVENT_METRICS, type Measure } from './metrics.ts';

/** Counts what is announced, and what nobody heard of. */
export function measuredAnnouncer(announcer: Announcer, measure: Measure, clock: Pick<Clock, 'now'>): Announcer {
  return {
    async announce(event) {
      const sent = await announcer.announce(event);
      measure({
        [EVENT_METRICS[event.type]]: 1,
        ...(event.type === 'Secret Converged' && { SecondsToConverge: secondsSince(event, clock.now()) }),
        ...(sent ? {} : { EventsNotSent: 1 }),
      });
      return sent;
    },
  };
}

const secondsSince = ({ detail }: Extract<RekeyEvent, { type: 'Secret Converged' }>, nowMs: number) =>
  Math.max(0, nowMs - Date.parse(detail.since)) / 1000;
