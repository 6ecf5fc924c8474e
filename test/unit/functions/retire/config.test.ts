import { describe, expect, test } from '@jest/globals';
import { readRetireConfig } from '../../../../functions/retire/config.ts';

const ONE = 'arn:aws:lambda:eu-west-1:111122223333:function:rekey-rotation-postgres';
const OTHER = 'arn:aws-cn:lambda:cn-north-1:111122223333:function:rekey-rotation-mysql';
const RIGHT = { REKEY_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/1/retire', REKEY_ROTATION_FUNCTIONS: ONE };

const refusal = (env: NodeJS.ProcessEnv) => {
  try {
    readRetireConfig(env);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('the configuration of retire', () => {
  test('names its own queue and the rotation functions, separated by blanks', () => {
    expect(readRetireConfig({ ...RIGHT, REKEY_ROTATION_FUNCTIONS: ` ${ONE}  ${OTHER} ` })).toEqual({
      queueUrl: RIGHT.REKEY_QUEUE_URL,
      rotationFunctions: [ONE, OTHER],
    });
  });

  test('82: says all that is wrong at once', () => {
    expect(refusal({})).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/REKEY_QUEUE_URL is not a URL; REKEY_ROTATION_FUNCTIONS is missing/),
    });
  });

  test.each([
    [{ REKEY_QUEUE_URL: 'retire' }, 'REKEY_QUEUE_URL'],
    [{ REKEY_ROTATION_FUNCTIONS: '  ' }, 'REKEY_ROTATION_FUNCTIONS is missing'],
    [{ REKEY_ROTATION_FUNCTIONS: 'rekey-rotation-postgres' }, 'REKEY_ROTATION_FUNCTIONS is not a list'],
    [{ REKEY_ROTATION_FUNCTIONS: `${ONE},${OTHER} x` }, 'REKEY_ROTATION_FUNCTIONS is not a list'],
    [{ REKEY_ROTATION_FUNCTIONS: 'arn:aws:sqs:eu-west-1:111122223333:retire' }, 'is not a list of function ARNs'],
  ])('%j is refused', (env, says) => {
    expect(refusal({ ...RIGHT, ...env })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(says),
    });
  });
});
