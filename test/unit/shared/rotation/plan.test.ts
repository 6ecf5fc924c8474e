import { describe, expect, test } from '@jest/globals';
import { type Admission, admit, plan, type RotationState, STEPS, type Step } from '../../../../shared/rotation/plan.ts';
import { type DatabaseSecret, parseDatabaseSecret } from '../../../../shared/secrets/database-secret.ts';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import type { SecretDescription } from '../../../../shared/secrets/port.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { located } from '../secrets/located.ts';

const ARN = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf';
const TOKEN = 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111';
const OLD = 'b5b8bd4e-9a3f-4d8e-8b0b-000000000000';

describe('whether the labels allow a step', () => {
  const secret = (over: Partial<SecretDescription>): SecretDescription => ({
    arn: ARN,
    name: 'app/db',
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([
      [OLD, ['AWSCURRENT']],
      [TOKEN, ['AWSPENDING']],
    ]),
    tags: new Map(),
    owningService: undefined,
    deletedAtMs: undefined,
    ...over,
  });
  const summary = (admission: Admission) =>
    admission.kind === 'refused' ? admission.error.code : admission.kind === 'admitted' ? 'admitted' : admission.kind;

  test.each<[string, Partial<SecretDescription>, string]>([
    ['a pending version beside a current one is admitted', {}, 'admitted'],
    ['rotation that was never configured is no obstacle', { rotationEnabled: undefined }, 'admitted'],
    ['20: rotation switched off', { rotationEnabled: false }, 'ROTATION_DISABLED'],
    ['10: a token without any label', { stages: new Map([[OLD, ['AWSCURRENT']]]) }, 'VERSION_NOT_PENDING'],
    [
      '12: a token with another label',
      {
        stages: new Map([
          [OLD, ['AWSCURRENT']],
          [TOKEN, ['AWSPREVIOUS']],
        ]),
      },
      'VERSION_NOT_PENDING',
    ],
    ['11, 17: a token that is current already', { stages: new Map([[TOKEN, ['AWSCURRENT']]]) }, 'alreadyCurrent'],
    [
      'a token that is current and still pending',
      { stages: new Map([[TOKEN, ['AWSPENDING', 'AWSCURRENT']]]) },
      'alreadyCurrent',
    ],
    [
      'a current token of a secret whose rotation was switched off meanwhile',
      { stages: new Map([[TOKEN, ['AWSCURRENT']]]), rotationEnabled: false },
      'alreadyCurrent',
    ],
    ['no version is current', { stages: new Map([[TOKEN, ['AWSPENDING']]]) }, 'CURRENT_MISSING'],
    ['46: a secret scheduled for deletion', { deletedAtMs: 1 }, 'SECRET_DELETED'],
    ['57: a secret that another service owns', { owningService: 'rds' }, 'SECRET_MANAGED'],
  ])('%s', (_, over, expected) => {
    expect(summary(admit(secret(over), TOKEN))).toBe(expected);
  });

  test('the admitted version is the holder of AWSCURRENT', () => {
    expect(admit(secret({}), TOKEN)).toEqual({ kind: 'admitted', currentVersion: OLD });
  });
});

describe('what a step does with what is stored', () => {
  const value = (over: Record<string, unknown> = {}): DatabaseSecret =>
    located(
      parseDatabaseSecret(
        new SecretValue(
          JSON.stringify({ engine: 'postgres', host: 'db.example', username: 'app', password: 'old', ...over }),
        ),
        {
          what: 'a test',
          rules: POSTGRES,
          options: DEFAULT_OPTIONS,
          hosts: { allowLoopback: false, allowedSuffixes: [], authorities: new Map() },
        },
      ),
    );
  const follows = value({ password: 'new' });

  const states: Record<string, Partial<RotationState>> = {
    'no value': { pending: undefined },
    'no value, held': { pending: undefined, heldUntilMs: 1_800_000_000_000 },
    'a value that follows from current': { pending: follows },
    'a value that follows from current, held': { pending: follows, heldUntilMs: 1_800_000_000_000 },
    'the login of current (39)': { pending: value() },
    'another user (37)': { pending: value({ username: 'admin', password: 'new' }) },
    'another host (37)': { pending: value({ host: 'evil.example', password: 'new' }) },
    'another port': { pending: value({ port: 6432, password: 'new' }) },
    'another database': { pending: value({ dbname: 'other', password: 'new' }) },
    'another administrator': { pending: value({ masterarn: ARN, password: 'new' }) },
    'another engine': { pending: value({ engine: 'aurora-postgresql', password: 'new' }) },
  };

  const MISMATCH = ['PENDING_MISMATCH', 'PENDING_MISMATCH', 'PENDING_MISMATCH', 'PENDING_MISMATCH'];
  const table: Record<string, readonly string[]> = {
    'no value': ['create', 'STEP_OUT_OF_ORDER', 'preflight', 'STEP_OUT_OF_ORDER'],
    'no value, held': ['ROTATION_HELD', 'STEP_OUT_OF_ORDER', 'preflight', 'STEP_OUT_OF_ORDER'],
    'a value that follows from current': ['keep', 'set', 'test', 'promote'],
    'a value that follows from current, held': ['keep', 'set', 'test', 'promote'],
    'the login of current (39)': ['PENDING_MISMATCH', 'PENDING_MISMATCH', 'preflight', 'PENDING_MISMATCH'],
    'another user (37)': MISMATCH,
    'another host (37)': MISMATCH,
    'another port': MISMATCH,
    'another database': MISMATCH,
    'another administrator': MISMATCH,
    'another engine': MISMATCH,
  };

  const decide = (step: Step, state: Partial<RotationState>) => {
    const action = plan(step, {
      secretArn: ARN,
      versionId: TOKEN,
      current: value(),
      pending: undefined,
      nextUsername: 'app',
      heldUntilMs: undefined,
      ...state,
    });
    return action.kind === 'refuse' ? action.error.code : action.kind;
  };

  test('the table names every state', () => {
    expect(Object.keys(table)).toEqual(Object.keys(states));
  });

  for (const [name, expected] of Object.entries(table))
    for (const [index, step] of STEPS.entries())
      test(`${step} with ${name} in the pending version: ${expected[index]}`, () => {
        expect(decide(step, states[name] ?? {})).toBe(expected[index]);
      });

  test('a mismatch names the keys and not their values', () => {
    const action = plan('setSecret', {
      secretArn: ARN,
      versionId: TOKEN,
      current: value(),
      pending: value({ host: 'evil.example', username: 'mallory', password: 'new' }),
      nextUsername: 'app',
      heldUntilMs: undefined,
    });
    const message = action.kind === 'refuse' ? action.error.message : '';
    expect(message).toContain('host, username');
    expect(message).not.toMatch(/evil|mallory/);
  });

  test('the user of the other turn is what follows for alternating users', () => {
    expect(decide('setSecret', { nextUsername: 'app_clone', pending: follows })).toBe('PENDING_MISMATCH');
    const clone = value({ username: 'app_clone', password: 'new' });
    expect(decide('setSecret', { nextUsername: 'app_clone', pending: clone })).toBe('set');
  });
});
