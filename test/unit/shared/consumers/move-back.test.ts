import { expect, test } from '@jest/globals';
import { type MovingBack, moveBackOf } from '../../../../shared/consumers/move-back.ts';
import type { Cause } from '../../../../shared/operations/events.ts';

const WEB = { cluster: 'prod', kind: 'Deployment', namespace: 'shop', name: 'web', why: 'pod web-1 fails' };
const failedBy = (...causes: Cause[]) => ({
  verdict: 'halted' as const,
  failed: causes.map((cause) => ({ ...WEB, cause })),
});
const secret = {
  rotationFunction: 'arn:aws:lambda:eu-west-1:111122223333:function:rekey-rotation-postgres',
  stages: new Map([
    ['v2', ['AWSCURRENT']],
    ['v1', ['AWSPREVIOUS']],
  ]),
};
const options = { onFailure: 'move-back' as const, holdUntilMs: undefined };
const MOVE = {
  kind: 'asked',
  moveBack: { rotationFunction: secret.rotationFunction, previousVersionId: 'v1' },
} as const;
const BY_HAND = { kind: 'by-hand', previousVersionId: 'v1' } as const;
const NOW = Date.UTC(2027, 0, 1);

type Halt = Parameters<typeof moveBackOf>;

test.each<[what: string, asked: MovingBack | undefined, ...Partial<Halt>]>([
  ['new pods crash', MOVE, failedBy('crash')],
  ['their container cannot be made, as for want of a key in the value', MOVE, failedBy('container')],
  ['they are not ready in time, as when they cannot mount it', MOVE, failedBy('progress-deadline')],
  ['one of several causes may be the version', MOVE, failedBy('image', 'crash')],
  ['their image is gone: another version would not bring it', undefined, failedBy('image')],
  ['a quota or a webhook refuses them', undefined, failedBy('pods-refused')],
  ['nothing fails', undefined, { verdict: 'waiting', failed: [] }],
  ['the tag says halt', undefined, failedBy('crash'), secret, { ...options, onFailure: 'halt' }],
  ['a person holds the secret', undefined, failedBy('crash'), secret, { ...options, holdUntilMs: NOW + 1 }],
  ['the hold is over', MOVE, failedBy('crash'), secret, { ...options, holdUntilMs: NOW }],
  [
    'all workloads were proved on it once, and the old credential may be retired',
    undefined,
    failedBy('crash'),
    secret,
    options,
    true,
  ],
  ['nothing rotates the secret', BY_HAND, failedBy('crash'), { ...secret, rotationFunction: undefined }],
  [
    "a function that is not Rekey's rotates it",
    BY_HAND,
    failedBy('crash'),
    { ...secret, rotationFunction: secret.rotationFunction.replace('rekey', 'aws') },
  ],
  ['it is the first version', undefined, failedBy('crash'), { ...secret, stages: new Map([['v2', ['AWSCURRENT']]]) }],
])('when %s: %j', (_what, asked, plan = failedBy(), of = secret, tags = options, isTold = false) => {
  expect(moveBackOf(plan, of, tags, isTold, [secret.rotationFunction], NOW)).toEqual(asked);
});
