import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, type AppProps } from 'aws-cdk-lib';
import { ROOT } from './dist.ts';

/** With the feature flags of cdk.json, whoever makes the app: the CDK's own command hands them over, others do not. */
export function createApp({ context, ...props }: AppProps = {}): App {
  const { context: flags } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8'));
  return new App({ ...props, context: { ...flags, ...context } });
}
