import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { App, Validations } from 'aws-cdk-lib';
import { CfnQueue } from 'aws-cdk-lib/aws-sqs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { RekeyStack } from '../../infra/rekey-stack.ts';
import { example } from './synthesised.ts';

interface PluginReport {
  readonly pluginName: string;
  readonly violations: readonly unknown[];
  readonly suppressedViolations: readonly {
    readonly ruleName: string;
    readonly acknowledgedAt: string;
    readonly reason: string;
  }[];
}

function checkedApp() {
  const app = new App();
  const stack = new RekeyStack(app, example);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return { app, stack };
}

describe('cdk-nag AwsSolutions', () => {
  const { directory } = checkedApp().app.synth();
  const reports: readonly PluginReport[] = JSON.parse(
    readFileSync(join(directory, 'validation-report.json'), 'utf8'),
  ).pluginReports;

  test('finds nothing that is not explained', () => {
    expect(reports.map(({ pluginName, violations }) => ({ pluginName, violations }))).toEqual([
      { pluginName: 'AwsSolutions', violations: [] },
    ]);
  });

  test('is answered with these explanations and no others', () => {
    const explained = reports.flatMap(({ suppressedViolations }) => suppressedViolations);

    expect(explained.map(({ acknowledgedAt, ruleName }) => `${acknowledgedAt} ${ruleName}`).sort()).toEqual(
      [
        ...['rotation-postgres', 'Sync', 'Sweep', 'Retire'].map(
          (name) => `rekey-example/${name}/Function/Role AwsSolutions-IAM5[Resource::*]`,
        ),
        ...['Sync', 'Sweep'].map(
          (name) =>
            `rekey-example/${name}/Function/Role AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:secretsmanager:eu-west-1:111122223333:secret:*]`,
        ),
      ].sort(),
    );
    for (const { reason } of explained) expect(reason.length).toBeGreaterThan(40);
  });

  test('would find a queue that takes plain HTTP', () => {
    const { app, stack } = checkedApp();
    new CfnQueue(stack, 'Open');

    expect(() => app.synth()).toThrow('AwsSolutions-SQS4');
  });
});
