import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** The CDK warns of each flag that is not answered, at every synth. After an upgrade: `npx cdk flags --unstable=flags`. */
test('cdk.json answers every feature flag as the CDK recommends for new projects', () => {
  expect(read('cdk.json').context).toEqual(read('node_modules/aws-cdk-lib/recommended-feature-flags.json'));
});
