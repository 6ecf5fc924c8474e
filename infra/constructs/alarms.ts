import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, type IMetric, Metric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Rule } from 'aws-cdk-lib/aws-events';
import { Construct } from 'constructs';
import { METRICS_DIMENSION, METRICS_NAMESPACE, type MetricName } from '../../shared/operations/metrics.ts';
import type { Foundation } from './foundation.ts';
import type { Notifications } from './notifications.ts';
import type { ServiceFunction } from './service-function.ts';

interface AlarmProps {
  readonly metric: IMetric;
  /** It alarms from this value on. @default 1 */
  readonly from?: number;
  /** It alarms below this value instead. */
  readonly below?: number;
  /** How many periods in a row. @default 1 */
  readonly periods?: number;
  /** Whether silence is a fault as well. @default false */
  readonly mustReport?: boolean;
  /** For whoever is woken: what happened, and what to do. */
  readonly says: string;
}

/** Alarms, named and described for whoever is woken by one. Each goes to the topics, and says when it is over. */
export class Alarms extends Construct {
  readonly all: Alarm[] = [];
  readonly #foundation: Foundation;
  readonly #actions: readonly SnsAction[];

  constructor(scope: Construct, foundation: Foundation, { topics }: Notifications) {
    super(scope, 'Alarms');
    this.#foundation = foundation;
    this.#actions = topics.map((topic) => new SnsAction(topic));
  }

  add(name: string, { metric, from = 1, below, periods = 1, mustReport = false, says }: AlarmProps): void {
    if (this.#foundation.props.alarms === 'off') return;
    const alarm = new Alarm(this, name, {
      alarmName: this.#foundation.resourceName(name),
      alarmDescription: says,
      metric,
      threshold: below ?? from,
      comparisonOperator:
        below === undefined
          ? ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
          : ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: periods,
      treatMissingData: mustReport ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    for (const action of this.#actions) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
    this.all.push(alarm);
  }

  /** Every function: that it fails, that it is not let run, that it nearly ran out of time. */
  ofFunction({ spec, lambda }: ServiceFunction): void {
    const period = Duration.minutes(5);
    this.add(`${spec.name}-errors`, {
      metric: lambda.metricErrors({ period }),
      says: `${spec.name} ended in an error. Its log says which, with a code; docs/errors.md says what to do about it.`,
    });
    this.add(`${spec.name}-throttles`, {
      metric: lambda.metricThrottles({ period }),
      periods: 3,
      says: `${spec.name} was not let run for 15 minutes: the account's concurrency is used up, or limits in the configuration are too low. Nothing is lost: what waits is tried again.`,
    });
    this.add(`${spec.name}-slow`, {
      metric: lambda.metricDuration({ period, statistic: 'Maximum' }),
      from: 0.8 * spec.timeoutSeconds * 1000,
      says: `${spec.name} took over four fifths of its ${spec.timeoutSeconds} s. Its log shows where the time went: a database, a cluster, or an API that answers slowly.`,
    });
  }

  /** That EventBridge could not hand an event on. */
  ofRule(name: string, { ruleName }: Rule, busName?: string): void {
    this.add(`${name}-undelivered`, {
      metric: new Metric({
        namespace: 'AWS/Events',
        metricName: 'FailedInvocations',
        // Of a rule on the default bus, the metric names the rule alone (EventBridge User Guide, "Monitoring").
        dimensionsMap: { RuleName: ruleName, ...(busName !== undefined && { EventBusName: busName }) },
        statistic: 'Sum',
        period: Duration.minutes(5),
      }),
      says: `EventBridge could not hand on an event of the rule ${name}. It waits in the dead-letter queue of that rule, with the error in the message's attributes; then put it back with SQS's redrive.`,
    });
  }
}

/** What a function of Rekey writes (shared/operations/metrics.ts). */
export const ownMetric = (writer: ServiceFunction, name: MetricName, statistic: string, period: Duration): Metric =>
  new Metric({
    namespace: METRICS_NAMESPACE,
    metricName: name,
    dimensionsMap: { [METRICS_DIMENSION]: writer.lambda.functionName },
    statistic,
    period,
  });
