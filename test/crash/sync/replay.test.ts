import { expect, test } from '@jest/globals';
import type { SQSEvent } from 'aws-lambda';
import { syncBatch } from '../../../functions/sync/batch.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { labelUpdated } from '../../unit/functions/sync/messages.ts';
import { silentLog } from '../../unit/shared/consumers/observations.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { createFakeEstate, type FakeEstate, RESTARTS } from './fake-estate.ts';

const EVENTS = 10_000;
const VERSIONS = 5;

test(
  '10,000 events, again and in another order, while the version moves: each workload restarts once for each version at most, and once for the last',
  async () => {
    const draw = lots(SEED);
    const estate = createFakeEstate();
    const sent: string[] = [];
    let queue: string[] = [];
    for (let version = 2; version <= VERSIONS; version += 1) {
      estate.rotate();
      sent.push(labelUpdated(estate.secret));
      // Of this version and of all before it, and what passes ask for.
      for (let n = 0; n < EVENTS / (VERSIONS - 1); n += 1) {
        const again = [...sent, ...queue];
        const body = again[draw(again.length)] ?? '';
        queue = queue.filter((one) => one !== body);
        if (draw(3) === 0) await estate.goOn();
        estate.advance(draw(20_000));
        await deliver(estate, body, (next) => void queue.push(next));
        // Most are never handed out: what is lost on the way is brought by the others.
        queue = queue.slice(-20);
      }
      expect(onceAtMost(estate)).toEqual([]);
    }
    expect(await estate.restarts()).toEqual(RESTARTS);
    expect(await estate.notOnVersion()).toEqual([]);
  },
  10 * 60_000,
);

test(
  'two passes at the same time, call by call in any order: each workload restarts once',
  async () => {
    const runs = ALL ? 2_000 : 200;
    for (let run = 0; run < runs; run += 1) {
      const draw = lots(SEED * 1_000_003 + run);
      const estate = createFakeEstate();
      estate.rotate();
      const event = labelUpdated(estate.secret);
      let queue = [event, event];
      for (let passes = 0; queue.length > 0 && passes < 100; passes += 1) {
        const next: string[] = [];
        const race = racing(draw);
        const both = queue.splice(0, 2);
        await race.run(
          both.map(
            (body) => () =>
              deliver(
                estate,
                body,
                (again) => void next.push(again),
                () => race.join(),
              ),
          ),
        );
        queue = [...queue, ...next];
        estate.advance(60_000);
        await estate.goOn();
      }
      expect([run, queue, await estate.restarts(), onceAtMost(estate)]).toEqual([run, [], RESTARTS, []]);
      expect(estate.mostUnderWay.untilProved).toBe(1);
    }
    recordCount('sync, two passes at once', runs);
  },
  10 * 60_000,
);

const onceAtMost = ({ changes }: FakeEstate) => [...changes].filter(([, count]) => count > 1);

type Port = <T extends object>(port: T, name: string) => T;

async function deliver(
  estate: FakeEstate,
  body: string,
  send: (body: string) => void,
  join: () => Port = () => (port) => port,
): Promise<void> {
  const port = join();
  const { clock, cluster, secret } = estate;
  const records = [{ messageId: '1', body, attributes: { ApproximateReceiveCount: '1' } }] as SQSEvent['Records'];
  const deps = {
    secrets: port({ describe: async () => secret }, 'store'),
    clusters: [port(cluster, 'cluster')],
    announcer: port({ announce: async () => true }, 'announcer'),
    rotationFunctions: [],
    queue: port({ send: async (next: string) => send(next), bringBack: async () => {} }, 'queue'),
    clock,
    log: silentLog,
  };
  const { batchItemFailures } = await syncBatch({ Records: records }, deps, deadlineIn(60_000, clock));
  expect(batchItemFailures).toEqual([]);
}

/** Hands out turns by lot: only one call of all passes is made at a time. */
function racing(draw: (below: number) => number) {
  const waiting: (() => void)[] = [];
  return {
    /** The ports of one more pass. */
    join(): Port {
      return (port) => {
        const taking: Record<string, unknown> = {};
        for (const [member, value] of Object.entries(port))
          taking[member] =
            typeof value !== 'function'
              ? value
              : async (...args: unknown[]) => {
                  await new Promise<void>((resolve) => void waiting.push(resolve));
                  return value.apply(port, args);
                };
        return taking as typeof port;
      };
    },
    async run(passes: readonly (() => Promise<void>)[]): Promise<void> {
      let running = passes.length;
      const ended = () => {
        running -= 1;
      };
      const ends = Promise.all(passes.map((pass) => pass().finally(ended)));
      // Whoever fails is heard at the end.
      ends.catch(() => {});
      while (running > 0) {
        // Nothing here waits for the outside: then everyone waits for a turn, or has ended.
        await new Promise(setImmediate);
        waiting.splice(draw(waiting.length), 1)[0]?.();
      }
      await ends;
    },
  };
}

/** Whole numbers from 0 to below a bound; the same ones for the same seed. */
function lots(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return below === 0 ? 0 : Math.floor((state / 2 ** 32) * below);
  };
}
