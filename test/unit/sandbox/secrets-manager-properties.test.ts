import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  cancelRotation,
  completeRotation,
  giveUpRotation,
  holderOf,
  moveStage,
  newSecret,
  putValue,
  type Secret,
  startRotation,
} from '../../sandbox/aws/secrets-manager/secret.ts';
import { AwsError } from '../../sandbox/aws/service.ts';

/** The rules of versions and labels, for every order of requests that fast-check finds: the fake itself is tested. */

const tokens = ['a', 'b', 'c', 'd'];
const token = fc.constantFrom(...tokens);
const stage = fc.constantFrom('AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS', 'canary');
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });

type Transition = (secret: Secret) => Secret;

const transition: fc.Arbitrary<Transition> = fc.oneof(
  fc
    .record({ token, value: fc.constantFrom('x', 'y'), stages: maybe(fc.uniqueArray(stage, { minLength: 1 })) })
    .map(({ token, value, stages }) =>
      named('put', (secret) => putValue(secret, { token, value: { SecretString: value }, stages }, 0)),
    ),
  fc
    .record({ stage, from: maybe(token), to: maybe(token) })
    .map((request) => named('move', (secret) => moveStage(secret, request, 0))),
  token.map((each) =>
    named('rotate', (secret) => {
      const request = { token: each, functionArn: 'arn', rules: undefined, testValue: undefined };
      const start = startRotation(secret, request, 0);
      if (start.kind === 'started') return start.secret;
      return start.kind === 'incomplete' ? (start.reattempt ?? secret) : secret;
    }),
  ),
  fc.constant(named('complete', (secret) => completeRotation(secret, secret.underWay ?? '', 0) ?? secret)),
  fc.constant(named('give up', giveUpRotation)),
  fc.constant(named('cancel', (secret) => cancelRotation(secret, 0))),
);

/** So that a counterexample can be read. */
function named(name: string, run: Transition): Transition {
  return Object.assign(run, { [fc.toStringMethod]: () => name });
}

/** Checks each accepted transition; a refused one leaves the state as it was. */
function always(check: (before: Secret, after: Secret) => void): void {
  fc.assert(
    fc.property(fc.array(transition, { maxLength: 30 }), (transitions) => {
      let secret = newSecret({ arn: 'arn', name: 'name', description: undefined, kmsKeyId: undefined, tags: [] }, 0);
      for (const run of transitions) {
        let next: Secret;
        try {
          next = run(secret);
        } catch (error) {
          if (!(error instanceof AwsError)) throw error;
          continue;
        }
        check(secret, next);
        secret = next;
      }
    }),
    { numRuns: 1000 },
  );
}

describe('whatever is asked in whatever order', () => {
  test('a label is on one version at most', () => {
    always((_before, after) => {
      const labels = after.versions.flatMap(({ stages }) => stages);
      expect(labels).toHaveLength(new Set(labels).size);
    });
  });

  test('a value never changes under its version, and never goes away', () => {
    always((before, after) => {
      for (const { id, value } of before.versions)
        if (value) expect(after.versions.find((version) => version.id === id)?.value).toEqual(value);
    });
  });

  test('a secret that has a current version keeps one, and it has a value', () => {
    always((before, after) => {
      if (holderOf(before, 'AWSCURRENT')) expect(holderOf(after, 'AWSCURRENT')?.value).toBeDefined();
    });
  });

  test('AWSPREVIOUS is where AWSCURRENT has just come from', () => {
    always((before, after) => {
      const from = holderOf(before, 'AWSCURRENT')?.id;
      if (from !== undefined && from !== holderOf(after, 'AWSCURRENT')?.id)
        expect(holderOf(after, 'AWSPREVIOUS')?.id).toBe(from);
    });
  });
});
