import { Duration } from 'aws-cdk-lib';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { MetricName } from '../../shared/operations/metrics.ts';
import { Alarms, ownMetric } from './alarms.ts';
import { Dashboard } from './dashboard.ts';
import type { Foundation } from './foundation.ts';
import type { Notifications } from './notifications.ts';
import type { Retire } from './retire.ts';
import type { Rotation } from './rotation.ts';
import type { ServiceFunction } from './service-function.ts';
import type { Sweep } from './sweep.ts';
import type { Sync } from './sync.ts';
import type { Watch } from './watch.ts';
import type { WorkQueue } from './work-queue.ts';

const MINUTES_5 = Duration.minutes(5);
/** Longer than the watch's interval, so that only a watch that does not run leaves a gap. */
const HOURS_2 = Duration.hours(2);

/** What is worth waking somebody for, and what that person then looks at. */
export class Operations {
  readonly #alarms: Alarms;
  readonly #dashboard: Dashboard;
  readonly #foundation: Foundation;

  constructor(scope: Construct, foundation: Foundation, notifications: Notifications) {
    this.#foundation = foundation;
    this.#alarms = new Alarms(scope, foundation, notifications);
    this.#dashboard = new Dashboard(scope, foundation, this.#alarms.all);
    const { deadLetters, rules } = notifications;
    for (const { bus, name, rule } of rules) this.#alarms.ofRule(name, rule, bus?.eventBusName);
    this.#watchDeadLetters('notifications', deadLetters, 'People were not told of something');
  }

  watchRotation({ function: rotation, work }: Rotation): void {
    this.#watchFunction(rotation);
    if (work) this.#watchQueue(rotation, work);
    this.#watchEvents(rotation, {
      RotationsFailed:
        'A rotation failed. AWSCURRENT did not move and still works. The message about it says why and what to do, and so does the log.',
      ActionsNeeded: 'Something waits for a hand, or was done that you should know of: the message says what.',
    });
    this.#dashboard.rotations.addLeftMetric(ownMetric(rotation, 'RotationsSucceeded', 'Sum', MINUTES_5));
    this.#dashboard.rotations.addLeftMetric(ownMetric(rotation, 'RotationsFailed', 'Sum', MINUTES_5));
    this.#dashboard.rotations.addLeftMetric(ownMetric(rotation, 'SecretsMovedBack', 'Sum', MINUTES_5));
  }

  watchSync({ function: sync, work }: Sync, { function: sweep }: Sweep): void {
    this.#watchFunction(sync);
    this.#watchFunction(sweep);
    this.#watchQueue(sync, work);
    this.#watchEvents(sync, {
      SyncsHalted:
        'New pods fail with the new credential, or for another reason. No further workload is touched; the old pods keep running on the old credential, which stays alive. The message names them: mend them, and Rekey goes on.',
      SecretsNotConverged:
        'A secret is not proved on every pod in its time. The old credential stays alive. The message names the pods and why.',
    });
    this.#dashboard.convergence.addLeftMetric(ownMetric(sync, 'SecretsConverged', 'Sum', MINUTES_5));
    this.#dashboard.convergence.addLeftMetric(ownMetric(sync, 'SecretsNotConverged', 'Sum', MINUTES_5));
    this.#dashboard.convergence.addLeftMetric(ownMetric(sync, 'SyncsHalted', 'Sum', MINUTES_5));
    this.#dashboard.seconds.addLeftMetric(ownMetric(sync, 'SecondsToConverge', 'Maximum', MINUTES_5));
  }

  watchRetire({ function: retire, work }: Retire): void {
    this.#watchFunction(retire);
    this.#watchQueue(retire, work);
    this.#watchEvents(retire, {
      ActionsNeeded:
        'A previous credential is not retired, because somebody still uses it. The message lists the sessions.',
    });
    this.#dashboard.convergence.addLeftMetric(ownMetric(retire, 'SecretsRetired', 'Sum', MINUTES_5));
  }

  watchWatch({ function: watch }: Watch): void {
    this.#watchFunction(watch);
    const { alarms, databases = {} } = this.#foundation.props;
    const gauge = (name: MetricName, statistic: string) => ownMetric(watch, name, statistic, HOURS_2);
    this.#alarms.add('rotation-overdue', {
      metric: gauge('HoursOverdue', 'Maximum'),
      from: 24,
      mustReport: true,
      says: 'A secret should have rotated a day ago and did not, or nobody looks any more. The log of watch names it ("a rotation needs a look"); the log of its rotation function says why.',
    });
    const days = alarms === 'off' ? undefined : alarms.longestWithoutRotationDays;
    if (days !== undefined)
      this.#alarms.add('rotation-too-old', {
        metric: gauge('DaysWithoutRotation', 'Maximum'),
        from: days,
        mustReport: true,
        says: `A secret has not rotated for ${days} days, or nobody looks any more. aws secretsmanager list-secrets shows LastRotatedDate of each.`,
      });
    this.#alarms.add('rotation-stuck', {
      metric: gauge('HoursPending', 'Maximum'),
      says: 'A rotation began over an hour ago and is not over. AWSCURRENT still works. The log of watch names the secret; docs/errors.md, VERSION_NOT_PENDING, says how to end it.',
    });
    this.#alarms.add('runtime-ends', {
      metric: gauge('RuntimeDaysLeft', 'Minimum'),
      below: 90,
      says: 'Lambda ends its support for this version of Node in less than 90 days: deploy a newer Rekey.',
    });
    if (databases.caFile !== undefined || databases.namedCaFiles !== undefined)
      this.#alarms.add('authorities-expire', {
        metric: gauge('AuthorityDaysLeft', 'Minimum'),
        below: 30,
        says: 'One of the authorities of databases expires in less than 30 days: fetch the new bundle, name it in the configuration, deploy. From then on, databases that it vouches for are refused.',
      });
    this.#dashboard.ages.push(
      ...(['SecretsRotated', 'DaysWithoutRotation', 'HoursOverdue', 'HoursPending'] as const).map((name) =>
        gauge(name, 'Maximum'),
      ),
    );
  }

  #watchFunction(watched: ServiceFunction): void {
    this.#alarms.ofFunction(watched);
    const { lambda, logGroup, spec } = watched;
    const label = (what: string) => ({ label: `${spec.name} ${what}`, period: MINUTES_5 });
    this.#dashboard.failures.addLeftMetric(lambda.metricErrors(label('errors')));
    this.#dashboard.failures.addLeftMetric(lambda.metricThrottles(label('throttles')));
    this.#dashboard.durations.addLeftMetric(lambda.metricDuration({ ...label('longest'), statistic: 'Maximum' }));
    this.#dashboard.addLog(logGroup.logGroupName);
  }

  #watchQueue({ spec }: ServiceFunction, { deadLetters, queue, rule, busName }: WorkQueue): void {
    const age = queue.metricApproximateAgeOfOldestMessage({ period: MINUTES_5, label: spec.name });
    this.#alarms.add(`${spec.name}-behind`, {
      metric: age,
      from: Duration.hours(1).toSeconds(),
      periods: 3,
      says: `A message has waited for ${spec.name} for over an hour. Look for throttles and errors of the function; the old credential stays alive meanwhile.`,
    });
    this.#dashboard.waiting.addLeftMetric(age);
    this.#watchDeadLetters(spec.name, deadLetters, `${spec.name} gave up on a message after several tries`);
    this.#alarms.ofRule(spec.name, rule, busName);
  }

  #watchDeadLetters(name: string, deadLetters: Queue, what: string): void {
    const waiting = deadLetters.metricApproximateNumberOfMessagesVisible({ period: MINUTES_5, label: name });
    this.#alarms.add(`${name}-dead-letters`, {
      metric: waiting,
      says: `${what}. It waits in ${this.#foundation.resourceName(`${name}-dead-letters`)} for two weeks. Find the cause in the log, then put it back with SQS's redrive: nothing is done twice.`,
    });
    this.#dashboard.deadLetters.addLeftMetric(waiting);
  }

  /** What the function told, counted; and that telling itself failed. */
  #watchEvents(writer: ServiceFunction, events: Readonly<Partial<Record<MetricName, string>>>): void {
    const all = {
      ...events,
      EventsNotSent:
        'An event was not taken by the bus: nobody heard of what was done. The log has it ("could not announce").',
    };
    for (const [name, says] of Object.entries(all) as [MetricName, string][])
      this.#alarms.add(`${writer.spec.name}-${kebab(name)}`, {
        metric: ownMetric(writer, name, 'Sum', MINUTES_5),
        says,
      });
  }
}

const kebab = (name: string) => name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).toLowerCase();
