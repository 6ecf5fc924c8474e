// Removes the cloud assemblies that a test left in the temporary folder.
import 'aws-cdk-lib/testhelpers/jest-autoclean';
import { describe, expect, test } from '@jest/globals';
import { clusterStacks } from '../../infra/cluster-stack.ts';
import { createApp } from '../../infra/create-app.ts';
import { environmentNamed, environmentNames } from '../../infra/environment.ts';
import { RekeyStack } from '../../infra/rekey-stack.ts';
import { PROMISES, type Template } from './promises.ts';

/** Stack → its template, for every environment and whatever it needs elsewhere. */
const templates = new Map<string, Template>();
for (const name of environmentNames()) {
  const environment = await environmentNamed(name);
  const app = createApp();
  new RekeyStack(app, environment);
  clusterStacks(app, environment);
  for (const { stackName, template } of app.synth().stacks) templates.set(stackName, template);
}

/** Has everything that there is. */
const full = templates.get('rekey-example');
if (full === undefined) throw new Error('there is no example');

test('there are stacks of three environments, and one for clusters elsewhere', () => {
  expect([...templates.keys()].sort()).toEqual([
    'rekey-example',
    'rekey-example-clusters-444455556666-eu-central-1',
    'rekey-production',
    'rekey-staging',
  ]);
});

describe.each(Object.entries(PROMISES))('%s', (_subject, promises) => {
  test.each(promises)('$says', ({ offenders, breakIt }) => {
    for (const [stack, template] of templates)
      expect({ stack, offenders: offenders(template) }).toEqual({ stack, offenders: [] });

    const broken = structuredClone(full);
    breakIt(broken);

    expect(offenders(broken)).not.toEqual([]);
  });
});

/** Whatever a change of the code, and not of what is deployed, may change. */
const masked = (template: Template) =>
  JSON.parse(
    JSON.stringify(template)
      .replaceAll(/[0-9a-f]{64}/g, '<hash of the asset>')
      .replaceAll(/(Rekey[A-Za-z0-9]*?)[0-9A-F]{8}(?=[^0-9A-Z]|$)/g, '$1'),
  );

test('what is deployed is what was reviewed', () => {
  expect(masked(full)).toMatchSnapshot();
});
