import { Duration, Stack } from 'aws-cdk-lib';
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  GraphWidget,
  type IMetric,
  LogQueryWidget,
  SingleValueWidget,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { Foundation } from './foundation.ts';

const graph = (title: string, width: number) => new GraphWidget({ title, width, height: 6, left: [], right: [] });

/**
 * One page, read from top to bottom by somebody who was woken: what is wrong, whether credentials still rotate and
 * arrive, what waits, and the last failures with their codes. Functions join as they are made.
 */
export class Dashboard extends Construct {
  readonly rotations = graph('Rotations', 8);
  readonly convergence = graph('Secrets on every pod', 8);
  readonly seconds = graph('Seconds from a new value to its last pod', 8);
  readonly waiting = graph('Age of the oldest message, in seconds', 12);
  readonly deadLetters = graph('Dead letters: anything above 0 needs a hand', 12);
  readonly failures = graph('Functions: errors and throttles', 12);
  readonly durations = graph('Functions: longest run, in milliseconds', 12);
  /** One number each. */
  readonly ages: IMetric[] = [];
  readonly #page: CloudWatchDashboard;
  readonly #logGroups: string[] = [];

  /** @param alarms of which there may be more later */
  constructor(scope: Construct, foundation: Foundation, alarms: readonly Alarm[]) {
    super(scope, 'Dashboard');
    this.#page = new CloudWatchDashboard(this, 'Page', {
      dashboardName: foundation.resourceName('overview'),
      defaultInterval: Duration.days(1),
    });
    this.#page.addWidgets(
      new TextWidget({ markdown: helpFor(foundation), width: 12, height: 8 }),
      new AlarmStatusWidget({ title: 'What is wrong now', alarms: alarms as Alarm[], width: 12, height: 8 }),
    );
    this.#page.addWidgets(new SingleValueWidget({ title: 'Rotations now', metrics: this.ages, width: 24, height: 4 }));
    this.#page.addWidgets(this.rotations, this.convergence, this.seconds);
    this.#page.addWidgets(this.waiting, this.deadLetters);
    this.#page.addWidgets(this.failures, this.durations);
  }

  /** Shows the failures in this log, too. */
  addLog(logGroup: string): void {
    this.#logGroups.push(logGroup);
    // The widget reads the list when the page is written, but wants one to begin with.
    if (this.#logGroups.length === 1)
      this.#page.addWidgets(
        new LogQueryWidget({
          title: 'Last failures, with their codes',
          logGroupNames: this.#logGroups,
          queryLines: [
            'fields @timestamp, service, message, failure.code, failure.message, failure.action, secretArn',
            'filter level = "ERROR" or message = "a rotation needs a look"',
            'sort @timestamp desc',
            'limit 50',
          ],
          width: 24,
          height: 9,
        }),
      );
  }
}

function helpFor(foundation: Foundation): string {
  const { region } = Stack.of(foundation);
  return `# Rekey, ${foundation.props.name}
**Your applications run on.** A rotation that fails leaves AWSCURRENT as it was; the old credential stays alive until every pod is proved to run on the new one.

1. An alarm on the right says what happened and what to do. Its code is explained in \`docs/errors.md\`.
2. No alarm, and still no new credential? *Rotations now*: hours overdue, hours pending.
3. Freeze one secret while you look: \`aws secretsmanager tag-resource --region ${region} --secret-id <secret> --tags Key=rekey:hold,Value=<date>\`
4. Check one without changing it: \`aws lambda invoke --region ${region} --function-name ${foundation.resourceName('rotation-<engine>')} --cli-binary-format raw-in-base64-out --payload '{"preflight": "<ARN>"}' /dev/stdout\`
5. Mended? Dead letters go back by SQS's *redrive*; a rotation is tried again by \`aws secretsmanager rotate-secret\`.
`;
}
