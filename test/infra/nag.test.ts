import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { CfnQueue } from 'aws-cdk-lib/aws-sqs';
import { clusterStacks } from '../../infra/cluster-stack.ts';
import { createApp } from '../../infra/create-app.ts';
import { environmentNamed, environmentNames } from '../../infra/environment.ts';
import { reviewed } from '../../infra/nag.ts';
import { RekeyStack } from '../../infra/rekey-stack.ts';

interface PluginReport {
  readonly pluginName: string;
  readonly violations: readonly unknown[];
  readonly suppressedViolations: readonly {
    readonly ruleName: string;
    readonly acknowledgedAt: string;
    readonly reason: string;
  }[];
}

async function appOf(name: string) {
  const app = createApp();
  const environment = await environmentNamed(name);
  const stack = new RekeyStack(app, environment);
  clusterStacks(app, environment);
  return { app: reviewed(app), stack };
}

const PACKS = ['AwsSolutions', 'Serverless', 'NIST.800.53.R5', 'HIPAA.Security', 'PCI.DSS.321'];

/** The rules that are explained somewhere, without their pack, and in which environments. docs/checks.md gives reasons. */
const EXPLAINED: Readonly<Record<string, readonly string[]>> = {
  IAM5: ['example', 'production', 'staging'],
  SQS3: ['example', 'production', 'staging'],
  SQSRedrivePolicy: ['example', 'production', 'staging'],
  LambdaEventSourceMappingDestination: ['example', 'production', 'staging'],
  LambdaDLQ: ['example', 'production', 'staging'],
  LambdaAsyncFailureDestination: ['example', 'production', 'staging'],
  EventBusDLQ: ['example', 'production', 'staging'],
  IAMNoInlinePolicy: ['example', 'production', 'staging'],
  LambdaInsideVPC: ['staging'],
  LambdaConcurrency: ['staging'],
  LambdaTracing: ['staging'],
};

describe.each(environmentNames())('cdk-nag on %s', (name) => {
  let reports: readonly PluginReport[];

  beforeAll(async () => {
    const { directory } = (await appOf(name)).app.synth();
    reports = JSON.parse(readFileSync(join(directory, 'validation-report.json'), 'utf8')).pluginReports;
  });

  test('finds nothing that is not explained, with any of five packs', () => {
    expect(reports.map(({ pluginName, violations }) => ({ pluginName, violations }))).toEqual(
      PACKS.map((pluginName) => ({ pluginName, violations: [] })),
    );
  });

  test('is answered for these rules and no others, each with a reason', () => {
    const explained = reports.flatMap(({ pluginName, suppressedViolations }) =>
      suppressedViolations.map(({ ruleName, reason }) => {
        expect(reason.length).toBeGreaterThan(40);
        return ruleName.replace(`${pluginName}-`, '').replace(/\[.*/, '');
      }),
    );

    const expected = Object.keys(EXPLAINED).filter((rule) => EXPLAINED[rule]?.includes(name));
    expect([...new Set(explained)].sort()).toEqual(expected.sort());
  });

  test('is answered for a wildcard only where AWS knows no resource, or the resource is any secret', () => {
    const wildcards = reports
      .flatMap(({ suppressedViolations }) => suppressedViolations)
      .filter(({ ruleName }) => ruleName.includes('IAM5'))
      .map(({ ruleName }) => /Resource::(.*)\]/.exec(ruleName)?.[1]?.replace(/[a-z-]+-\d:\d{12}/, 'here'));

    expect([...new Set(wildcards)].sort()).toEqual(
      ['*', 'arn:aws:secretsmanager:here:secret:*'].slice(0, new Set(wildcards).size),
    );
  });
});

test('cdk-nag would find a queue that takes plain HTTP', async () => {
  const { app, stack } = await appOf('staging');
  new CfnQueue(stack, 'Open');

  expect(() => app.synth()).toThrow('AwsSolutions-SQS4');
});
