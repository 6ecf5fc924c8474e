import { expect, test } from '@jest/globals';
import type { EksCluster, RotatedSecretProps } from '../../infra/config.ts';
import { example, synthesised } from './synthesised.ts';

/** What AWS would refuse in the middle of a deployment is refused at synth, with what helps. */

/** The first one loads CDK as well: that took 40 s where nothing of it had been read before. */
const FIRST_MS = 300_000;

const { admin: _, kmsKeyArns: __, ...secret } = example.rotated[0];

const secrets = (number: number, difference: object = {}): readonly RotatedSecretProps[] =>
  Array.from({ length: number }, (_, at) => ({
    ...secret,
    arn: `arn:aws:secretsmanager:eu-west-1:111122223333:secret:team-${at}/orders/database-AbCdEf`,
    ...difference,
  }));

/** Each in an account of its own, with a name of 20 characters. */
const clusters = (number: number): readonly EksCluster[] =>
  Array.from({ length: number }, (_, at) => ({
    name: `production-eu-west-${at}`.padEnd(20, 'x'),
    region: 'eu-west-1',
    account: String(200_000_000_000 + at),
    createAccessEntries: true,
  }));

test(
  'a hundred clusters fit into what Lambda has for variables, each in an account of its own',
  () => {
    expect(() => synthesised({ clusters: clusters(100) })).not.toThrow();
  },
  FIRST_MS,
);

test('more clusters than fit there are refused', () => {
  expect(() => synthesised({ clusters: clusters(130) })).toThrow(
    /clusters, databases\.hosts: the variables of sync would take \d+ bytes of the 4096 .* divide them among several Rekeys/,
  );
});

test('sixty secrets by ARN fit into what IAM has for a policy, with a customer key of theirs', () => {
  const { kmsKeyArns } = example.rotated[0];
  expect(() => synthesised({ rotated: secrets(60, { kmsKeyArns }) })).not.toThrow();
});

test('more secrets by ARN than fit there are refused', () => {
  expect(() => synthesised({ rotated: secrets(200) })).toThrow(
    /rotated, clusters: one right of rotation-postgres would take \d+ characters of the 6144 .* name secrets by a tag/,
  );
});
