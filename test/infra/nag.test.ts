import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { App, Validations } from 'aws-cdk-lib';
import { CfnQueue } from 'aws-cdk-lib/aws-sqs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { RekeyStack } from '../../infra/rekey-stack.ts';
import { example } from './synthesised.ts';

function checkedApp() {
  const app = new App();
  const stack = new RekeyStack(app, example);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return { app, stack };
}

describe('cdk-nag AwsSolutions', () => {
  test('finds nothing that is not explained', () => {
    const { app } = checkedApp();

    const { directory } = app.synth();

    expect(JSON.parse(readFileSync(join(directory, 'validation-report.json'), 'utf8')).pluginReports).toEqual([]);
  });

  test('would find a queue that takes plain HTTP', () => {
    const { app, stack } = checkedApp();
    new CfnQueue(stack, 'Open');

    expect(() => app.synth()).toThrow('AwsSolutions-SQS4');
  });

  test('is answered with these explanations and no others', () => {
    const { app } = checkedApp();

    const explained = app.node
      .findAll()
      .flatMap(({ node }) => node.metadata)
      .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
      .flatMap(({ data }) => Object.keys(data));

    expect([...new Set(explained)].sort()).toEqual([
      'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
      'AwsSolutions::AwsSolutions-IAM5[Resource::*]',
      'AwsSolutions::AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:secretsmanager:eu-west-1:111122223333:secret:*]',
    ]);
  });
});
