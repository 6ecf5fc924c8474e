import { execFile } from 'node:child_process';
import { devNull } from 'node:os';
import { promisify } from 'node:util';
import { describe, test } from '@jest/globals';

const run = promisify(execFile);

/** Runs one command. @returns its JSON output, {} when there is none. @throws Error with what it printed */
export type AwsCli = (...args: readonly string[]) => Promise<Record<string, unknown>>;

interface Account {
  readonly endpoint: string;
  readonly region: string;
  /** @default those of somebody, for a service that asks nobody who they are */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string | undefined;
  };
}

const ANYBODY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example', sessionToken: undefined };

/** The real `aws` of the PATH against the sandbox, untouched by the configuration of whoever runs the tests. */
export function awsCli({ endpoint, region, credentials = ANYBODY }: Account): AwsCli {
  const env = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    LC_ALL: 'C.UTF-8',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    ...(credentials.sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: credentials.sessionToken }),
    AWS_DEFAULT_REGION: region,
    AWS_CONFIG_FILE: devNull,
    AWS_SHARED_CREDENTIALS_FILE: devNull,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_MAX_ATTEMPTS: '1',
    AWS_PAGER: '',
    NO_PROXY: '127.0.0.1',
  };
  return async (...args) => {
    const { stdout } = await run('aws', ['--endpoint-url', endpoint, '--output', 'json', ...args], { env });
    return stdout.trim() === '' ? {} : JSON.parse(stdout);
  };
}

/** A suite that needs the AWS CLI: skipped aloud where there is none, a failure where CI lacks it. */
export async function describeWithAwsCli(what: string, suite: () => void): Promise<void> {
  const version = await versionOfCli();
  if (version !== undefined) return describe(`${what}, driven by ${version}`, suite);
  test(`${what}: skipped where there is no AWS CLI, and never in CI`, () => {
    if (process.env['CI'] === 'true') throw new Error('CI must have the AWS CLI: apt-get install awscli');
    console.warn(`SKIPPED ${what}: there is no \`aws\` on the PATH`);
  });
}

async function versionOfCli(): Promise<string | undefined> {
  try {
    return (await run('aws', ['--version'])).stdout.split(' ')[0];
  } catch {
    return undefined;
  }
}
