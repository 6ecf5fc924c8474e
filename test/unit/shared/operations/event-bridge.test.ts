import type { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { describe, expect, test } from '@jest/globals';
import { createEventBridgeAnnouncer } from '../../../../shared/operations/event-bridge.ts';
import type { ConsumerProof, RekeyEvent } from '../../../../shared/operations/events.ts';
import type { LogFields } from '../../../../shared/operations/log.ts';
import type { Logger } from '../../../../shared/operations/logger.ts';

const ARN = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf';
const VERSION = '00000002-0000-4000-8000-000000000000';
/** PutEvents takes no entry above it. */
const ENTRY_BYTES = 256 * 1024;

describe('an event', () => {
  test('goes to the named bus, about its secret, with the version of its schema', async () => {
    const bus = busThat(() => ({ FailedEntryCount: 0 }));

    expect(await bus.announce(converged([daemonSet('logs', 1)]))).toBe(true);

    expect(bus.sent).toEqual([
      {
        EventBusName: 'rekey',
        Source: 'rekey',
        DetailType: 'Secret Converged',
        Resources: [ARN],
        Detail: expect.stringContaining('"schemaVersion":1'),
      },
    ]);
    expect(bus.detail()).not.toHaveProperty('truncated');
  });

  test.each([
    ['of 2,000 consumers', Array.from({ length: 2_000 }, (_, index) => daemonSet(`app-${index}`, 2)), 50],
    ['of one DaemonSet with 5,000 pods', [daemonSet('logs', 5_000)], 1],
    ['of 60 DaemonSets with 5,000 pods each', Array.from({ length: 60 }, (_, i) => daemonSet(`d-${i}`, 5_000)), 25],
  ])('%s is cut until the bus takes it, and says so', async (_what, consumers, kept) => {
    const bus = busThat(() => ({ FailedEntryCount: 0 }));

    await bus.announce(converged(consumers));

    expect(Buffer.byteLength(bus.sent[0]?.Detail ?? '')).toBeLessThan(ENTRY_BYTES);
    const detail = bus.detail();
    expect(detail).toMatchObject({ truncated: true, secretArn: ARN, versionId: VERSION });
    const left = detail['consumers'] as ConsumerProof[];
    expect(left).toHaveLength(kept);
    // No pod left would read as "no consumer proved".
    expect(left.every(({ pods }) => pods.length > 0)).toBe(true);
  });
});

describe('an event that could not be sent', () => {
  test('85: because the bus refused it is an error in the log, and no failure of the work', async () => {
    const bus = busThat(() => ({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'ThrottlingException' }] }));

    expect(await bus.announce(converged([]))).toBe(false);

    expect(bus.errors).toEqual([
      expect.objectContaining({
        event: 'Secret Converged',
        error: expect.objectContaining({ code: 'EVENT_NOT_SENT' }),
      }),
    ]);
    expect(String(bus.errors[0]?.error)).toContain('ThrottlingException');
  });

  test('85: because the call failed leaves nothing of the foreign message', async () => {
    const bus = busThat(() => {
      throw new TypeError('body was {"password":"hunter2"}');
    });

    expect(await bus.announce(converged([]))).toBe(false);

    expect(String(bus.errors[0]?.error)).toMatch(/EVENT_NOT_SENT: TypeError$/);
  });
});

function busThat(answer: () => object) {
  const sent: NonNullable<PutEventsCommand['input']['Entries']> = [];
  const errors: LogFields[] = [];
  const log: Logger = {
    info: () => {},
    warn: () => {},
    error: (_message, fields = {}) => void errors.push(fields),
    with: () => log,
  };
  const send = async ({ input }: PutEventsCommand) => {
    sent.push(...(input.Entries ?? []));
    return answer();
  };
  const { announce } = createEventBridgeAnnouncer('rekey', log, { send: send as never });
  const detail = () => JSON.parse(sent[0]?.Detail ?? '{}') as Record<string, unknown>;
  return { announce, sent, errors, detail };
}

function converged(consumers: readonly ConsumerProof[]): RekeyEvent {
  return {
    type: 'Secret Converged',
    detail: {
      secretArn: ARN,
      secretName: 'shop/database',
      versionId: VERSION,
      since: '2026-11-23T10:00:00.000Z',
      consumers,
      clusters: [],
      pinned: [],
    },
  };
}

function daemonSet(name: string, pods: number): ConsumerProof {
  return {
    cluster: 'prod',
    kind: 'DaemonSet',
    namespace: 'shop',
    name,
    mode: 'restart',
    pods: Array.from({ length: pods }, (_, index) => ({
      pod: `${name}-${String(index).padStart(5, '0')}`,
      node: `ip-10-0-0-${index}.eu-west-1.compute.internal`,
      mountedVersion: VERSION,
      startedAt: '2026-11-23T10:00:01.000Z',
      evidence: [{ kind: 'template' as const }],
    })),
  };
}
