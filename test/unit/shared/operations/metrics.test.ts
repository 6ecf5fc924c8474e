import { describe, expect, test } from '@jest/globals';
import type { RekeyEvent } from '../../../../shared/operations/events.ts';
import { measuredAnnouncer } from '../../../../shared/operations/measured-announcer.ts';
import { createMeasure, EVENT_METRICS, type MetricName } from '../../../../shared/operations/metrics.ts';

const clock = { now: () => Date.UTC(2026, 10, 23, 3, 0, 30) };

describe('a measurement', () => {
  const lines: string[] = [];
  const measure = createMeasure('rekey-production-sync', clock, (line) => lines.push(line));

  test('is one line in the embedded metric format, by the name of the function and nothing else', () => {
    measure({ SecretsConverged: 1, SecondsToConverge: 12.5 });

    // CloudWatch User Guide, "Embedded metric format specification".
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('}\n')).toBe(true);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      _aws: {
        Timestamp: 1795402830000,
        CloudWatchMetrics: [
          {
            Namespace: 'Rekey',
            Dimensions: [['FunctionName']],
            Metrics: [
              { Name: 'SecretsConverged', Unit: 'Count' },
              { Name: 'SecondsToConverge', Unit: 'Seconds' },
            ],
          },
        ],
      },
      FunctionName: 'rekey-production-sync',
      SecretsConverged: 1,
      SecondsToConverge: 12.5,
    });
  });

  test('of nothing writes nothing', () => {
    lines.length = 0;
    measure({});

    expect(lines).toEqual([]);
  });
});

describe('what is announced', () => {
  const of = { secretArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-AbCdEf', secretName: 'orders' };
  const announced = async (event: object, sent: boolean) => {
    const measured: Partial<Record<MetricName, number>>[] = [];
    const announcer = measuredAnnouncer({ announce: async () => sent }, (values) => measured.push(values), clock);
    expect(await announcer.announce({ detail: { ...of, versionId: 'v' }, ...event } as RekeyEvent)).toBe(sent);
    return measured;
  };

  test.each(Object.entries(EVENT_METRICS).filter(([type]) => type !== 'Secret Converged'))(
    '%s counts as %s',
    async (type, metric) => {
      expect(await announced({ type }, true)).toEqual([{ [metric]: 1 }]);
    },
  );

  test('Secret Converged also says how long it took since AWSCURRENT moved', async () => {
    const detail = { ...of, since: '2026-11-23T03:00:00Z' };

    expect(await announced({ type: 'Secret Converged', detail }, true)).toEqual([
      { SecretsConverged: 1, SecondsToConverge: 30 },
    ]);
  });

  test('and not taken by the bus counts as that, too', async () => {
    expect(await announced({ type: 'Rotation Failed' }, false)).toEqual([{ RotationsFailed: 1, EventsNotSent: 1 }]);
  });
});
