import { describe, expect, test } from '@jest/globals';
import { parseRotationEvent } from '../../../../functions/rotation/event.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { STEPS } from '../../../../shared/rotation/plan.ts';
import { runStep } from '../../../../shared/rotation/steps.ts';
import { createRig, newToken, snapshotOf } from '../../shared/rotation/rig.ts';

/**
 * The catalogue of bad events. None of these may connect to a database: the rig's one throws when it is touched.
 * What needs a database (15 for setSecret, 16) stands in test/integration/rotation.
 */

const FUNCTION_ARN = 'arn:aws:lambda:eu-central-1:123456789012:function:rekey-rotation-postgres';
const ARN = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf';
const TOKEN = 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111';
const good = { Step: 'createSecret', SecretId: ARN, ClientRequestToken: TOKEN };

function refusal(event: unknown): RekeyError {
  try {
    parseRotationEvent(event, FUNCTION_ARN);
  } catch (error) {
    if (error instanceof RekeyError) return error;
  }
  throw new Error('the event was not refused');
}

describe('bad input 1 to 20: events that are not one of Secrets Manager', () => {
  test.each<[string, unknown, string]>([
    ['1: an empty object', {}, 'Step'],
    ['2: null', null, 'not an object'],
    ['2: undefined', undefined, 'not an object'],
    ['2: an array', [good], 'not an object'],
    ['2: a text', JSON.stringify(good), 'not an object'],
    ['3: no Step', { ...good, Step: undefined }, 'Step'],
    ['4: Step in other letters', { ...good, Step: 'finishsecret' }, 'Step'],
    ['4: Step as one table of the AWS guide writes it', { ...good, Step: 'create_secret' }, 'Step'],
    ['5: Step "__proto__"', { ...good, Step: '__proto__' }, 'Step'],
    ['5: Step inherited, not sent', Object.create(good), 'Step'],
    ['6: a step of the future', { ...good, Step: 'retireSecret' }, 'Step'],
    ['7: SecretId a name', { ...good, SecretId: 'app/db' }, 'SecretId'],
    ['7: SecretId a partial ARN', { ...good, SecretId: 'arn:aws:secretsmanager:eu-central-1' }, 'SecretId'],
    ['7: SecretId without its suffix', { ...good, SecretId: ARN.slice(0, -7) }, 'SecretId'],
    ['7: SecretId of a replica', { ...good, SecretId: ARN.replace('eu-central-1', 'eu-west-1') }, 'Region'],
    ['8: SecretId of another account', { ...good, SecretId: ARN.replace('123456789012', '210987654321') }, 'account'],
    ['9: no token', { ...good, ClientRequestToken: undefined }, 'ClientRequestToken'],
    ['9: a token of 31 characters', { ...good, ClientRequestToken: 'x'.repeat(31) }, 'ClientRequestToken'],
    ['9: a token of 65 characters', { ...good, ClientRequestToken: 'x'.repeat(65) }, 'ClientRequestToken'],
    ['9: a token with a newline', { ...good, ClientRequestToken: `${TOKEN}\n` }, 'ClientRequestToken'],
    ['9: a token that is a number', { ...good, ClientRequestToken: 1e35 }, 'ClientRequestToken'],
    ['13: a RotationToken that cannot be one', { ...good, RotationToken: 'hunter2-too-short' }, 'RotationToken'],
    ['13: a RotationToken that is an object', { ...good, RotationToken: { token: 'hunter2' } }, 'RotationToken'],
    ['18: an event of 256 KB', { ...good, SecretId: ARN + 'x'.repeat(256 * 1024) }, 'SecretId'],
    ['19: an event that a person made up', { action: 'rotate', secret: 'app/db' }, 'Step'],
  ])('%s is refused by key', (_, event, says) => {
    const error = refusal(event);
    expect(error).toMatchObject({ code: 'EVENT_INVALID', retryable: false });
    expect(error.message).toContain(says);
    expect(error.message).not.toContain('hunter2');
    expect(error.message.length).toBeLessThan(300);
  });

  test('13: keys that are not known are ignored', () => {
    const event = { ...good, Padding: 'x'.repeat(256 * 1024), RotationToken: undefined };
    expect(parseRotationEvent(event, FUNCTION_ARN)).toEqual({
      kind: 'step',
      request: { step: 'createSecret', secretArn: ARN, versionId: TOKEN, rotationToken: undefined },
    });
  });

  test('13: a RotationToken is taken along and cannot be printed', () => {
    const token = 'a0b1c2d3-'.repeat(5);
    const event = parseRotationEvent({ ...good, RotationToken: token }, FUNCTION_ARN);
    expect(event.kind === 'step' && event.request.rotationToken?.expose()).toBe(token);
    expect(JSON.stringify(event)).not.toContain(token);
  });

  describe('a message of the function’s queue', () => {
    const VERSIONS = {
      versionId: TOKEN,
      moveBack: { previousVersionId: 'a'.repeat(36), rotationFunction: FUNCTION_ARN },
    };
    const failed = [
      { cluster: 'c', kind: 'Deployment', namespace: 'shop', name: 'web', why: 'it crashes', cause: 'crash' },
    ];
    const detail = { schemaVersion: 1, secretArn: ARN, secretName: 'app/db', ...VERSIONS, failed };
    const halted = { source: 'rekey', 'detail-type': 'Sync Halted', detail };
    const batch = (...bodies: unknown[]) => ({
      Records: bodies.map((body) => ({ body: typeof body === 'string' ? body : JSON.stringify(body) })),
    });

    test('is a halt that asks for AWSCURRENT to move back', () => {
      expect(parseRotationEvent(batch(halted), FUNCTION_ARN)).toEqual({
        kind: 'moveBack',
        request: { secretArn: ARN, secretName: 'app/db', versionId: TOKEN, previousVersionId: 'a'.repeat(36), failed },
      });
    });

    test.each<[string, unknown, string]>([
      ['no list', { Records: 'hunter2' }, 'one message'],
      ['an empty batch', batch(), 'one message'],
      ['two at once, of which one would fail the other', batch(halted, halted), 'one message'],
      ['a body that is not JSON', batch('hunter2'), 'not JSON'],
      ['another event', batch({ ...halted, 'detail-type': 'Sync Started' }), 'detail-type'],
      ['an event of another source', batch({ ...halted, source: 'hunter2' }), 'source'],
      ['a halt that asks for nothing', batch({ ...halted, detail: { ...detail, moveBack: undefined } }), 'moveBack'],
      ['a version that cannot be one', batch({ ...halted, detail: { ...detail, versionId: 'v\n1' } }), 'versionId'],
      [
        'a secret of another account',
        batch({ ...halted, detail: { ...detail, secretArn: ARN.replace('123456789012', '210987654321') } }),
        'account',
      ],
    ])('is not %s', (_what, event, says) => {
      const error = refusal(event);
      expect(error).toMatchObject({ code: 'EVENT_INVALID', retryable: false });
      expect(error.message).toContain(says);
      expect(error.message).not.toContain('hunter2');
    });
  });

  test.each(['preflight', 'createPeer'])('a person may ask for %s of a secret of this account and Region', (order) => {
    expect(parseRotationEvent({ [order]: ARN }, FUNCTION_ARN)).toEqual({ kind: order, secretArn: ARN });
    for (const wrong of ['app/db', ARN.replace('123456789012', '210987654321'), null, { arn: ARN }, `${ARN}\n`])
      expect(() => parseRotationEvent({ [order]: wrong }, FUNCTION_ARN)).toThrow('EVENT_INVALID');
  });

  test('an event with a step is a step, whatever else it asks for', () => {
    expect(parseRotationEvent({ ...good, createPeer: ARN }, FUNCTION_ARN).kind).toBe('step');
  });
});

describe('bad input 1 to 20: events that come at the wrong time', () => {
  const value = JSON.stringify({ engine: 'postgres', host: 'db.example', username: 'app', password: 'old' });
  const begun = () => {
    const rig = createRig();
    const arn = rig.secrets.create('app/db', value);
    return { rig, arn, token: rig.secrets.beginRotation(arn) };
  };

  test.each(STEPS)('7: %s for an ARN that Secrets Manager answers with another one is refused', async (step) => {
    const { rig, arn, token } = begun();
    const { describe } = rig.deps.store;
    const store = { ...rig.deps.store, describe: async (id: string) => ({ ...(await describe(id)), arn: `${id}x` }) };
    await expect(rig.run(step, arn, token, { store })).rejects.toMatchObject({ code: 'EVENT_INVALID' });
  });

  test.each(STEPS)('10: %s for a token that is no version changes nothing', async (step) => {
    const { rig, arn } = begun();
    const before = snapshotOf(rig.secrets, arn);
    await expect(rig.run(step, arn, newToken())).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test.each(STEPS)('11, 17: %s for a version that is current already succeeds and changes nothing', async (step) => {
    const { rig, arn, token } = begun();
    await rig.run('createSecret', arn, token);
    const { stages } = await rig.secrets.store.describe(arn);
    await rig.secrets.store.moveCurrent(arn, { from: [...stages.keys()][0] ?? '', to: token });
    const before = snapshotOf(rig.secrets, arn);
    expect(await rig.run(step, arn, token)).toEqual({ kind: 'alreadyCurrent' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
    expect(rig.events).toEqual([]);
  });

  test.each(STEPS)('12: %s for a version that lost AWSPENDING changes nothing', async (step) => {
    const { rig, arn, token } = begun();
    await rig.run('createSecret', arn, token);
    await rig.secrets.store.withdrawLabel(arn, 'AWSPENDING', token);
    const before = snapshotOf(rig.secrets, arn);
    await expect(rig.run(step, arn, token)).rejects.toMatchObject({ code: 'VERSION_NOT_PENDING', retryable: false });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test.each(['setSecret', 'finishSecret'] as const)('14: %s before createSecret changes nothing', async (step) => {
    const { rig, arn, token } = begun();
    const before = snapshotOf(rig.secrets, arn);
    await expect(rig.run(step, arn, token)).rejects.toMatchObject({ code: 'STEP_OUT_OF_ORDER', retryable: true });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test('15: createSecret several times at once stores one value', async () => {
    const { rig, arn, token } = begun();
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => rig.run('createSecret', arn, token)));
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual([...Array(4).fill('alreadyCreated'), 'created']);
    expect(await rig.run('createSecret', arn, token)).toEqual({ kind: 'alreadyCreated' });
  });

  test('17: createSecret again keeps the value that is stored', async () => {
    const { rig, arn, token } = begun();
    await rig.run('createSecret', arn, token);
    const before = snapshotOf(rig.secrets, arn);
    expect(await rig.run('createSecret', arn, token)).toEqual({ kind: 'alreadyCreated' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test.each(STEPS)('20: %s while rotation is switched off changes nothing', async (step) => {
    const { rig, arn, token } = begun();
    rig.secrets.secret(arn).rotationEnabled = false;
    const before = snapshotOf(rig.secrets, arn);
    await expect(rig.run(step, arn, token)).rejects.toMatchObject({ code: 'ROTATION_DISABLED' });
    expect(snapshotOf(rig.secrets, arn)).toEqual(before);
  });

  test('a step with too little time left begins nothing', async () => {
    const { rig, arn, token } = begun();
    const request = { step: 'createSecret', secretArn: arn, versionId: token, rotationToken: undefined } as const;
    await expect(runStep(request, rig.deps, deadlineIn(2_000, systemClock))).rejects.toMatchObject({
      code: 'DEADLINE_TOO_CLOSE',
      retryable: true,
    });
    expect(await rig.secrets.store.read(arn, token)).toBeUndefined();
  });
});
