import type { Clock } from './clock.ts';
import type { RekeyEvent } from './events.ts';

/** What Rekey measures, and in which of CloudWatch's units. Alarms and the dashboard stand on these names. */
const METRICS = {
  RotationsSucceeded: 'Count',
  RotationsFailed: 'Count',
  SyncsStarted: 'Count',
  SyncsHalted: 'Count',
  SecretsMovedBack: 'Count',
  SecretsConverged: 'Count',
  SecretsNotConverged: 'Count',
  SecretsRetired: 'Count',
  ActionsNeeded: 'Count',
  /** An event that the bus did not take. */
  EventsNotSent: 'Count',
  /** From AWSCURRENT's move to the proof of the last pod. */
  SecondsToConverge: 'Seconds',
  /** Secrets that one of Rekey's functions rotates. */
  SecretsRotated: 'Count',
  /** Of the secret whose last rotation is longest ago. */
  DaysWithoutRotation: 'None',
  /** Past the end of the window in which it should have rotated, of the secret that is latest. */
  HoursOverdue: 'None',
  /** Of the rotation that is stuck for longest. */
  HoursPending: 'None',
  /** Until the first of the authorities that were deployed with the functions expires. */
  AuthorityDaysLeft: 'None',
  /** Until Lambda no longer supports the runtime. */
  RuntimeDaysLeft: 'None',
} as const satisfies Record<string, 'Count' | 'Seconds' | 'None'>;

export type MetricName = keyof typeof METRICS;

export const METRICS_NAMESPACE = 'Rekey';
/** The one dimension: a function belongs to one environment, and no secret's name becomes a metric of its own. */
export const METRICS_DIMENSION = 'FunctionName';

/** Each event counts. */
export const EVENT_METRICS: Readonly<Record<RekeyEvent['type'], MetricName>> = {
  'Rotation Succeeded': 'RotationsSucceeded',
  'Rotation Failed': 'RotationsFailed',
  'Sync Started': 'SyncsStarted',
  'Sync Halted': 'SyncsHalted',
  'Secret Moved Back': 'SecretsMovedBack',
  'Secret Converged': 'SecretsConverged',
  'Secret Not Converged': 'SecretsNotConverged',
  'Secret Retired': 'SecretsRetired',
  'Action Needed': 'ActionsNeeded',
};

/** Writes values down. It never fails the work that it measures. */
export type Measure = (values: Readonly<Partial<Record<MetricName, number>>>) => void;

/**
 * CloudWatch makes metrics of lines in the log that have this shape (CloudWatch User Guide, "Embedded metric format"):
 * no call, no right, no wait. The line goes past the logger, whose level would leave it out.
 */
export function createMeasure(functionName: string, clock: Pick<Clock, 'now'>, write: (line: string) => void): Measure {
  return (values) => {
    const names = Object.keys(values) as MetricName[];
    if (names.length === 0) return;
    const line = {
      _aws: {
        Timestamp: clock.now(),
        CloudWatchMetrics: [
          {
            Namespace: METRICS_NAMESPACE,
            Dimensions: [[METRICS_DIMENSION]],
            Metrics: names.map((name) => ({ Name: name, Unit: METRICS[name] })),
          },
        ],
      },
      [METRICS_DIMENSION]: functionName,
      ...values,
    };
    write(`${JSON.stringify(line)}\n`);
  };
}
