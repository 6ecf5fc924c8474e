import { describe, expect, test } from '@jest/globals';
import { parseConvergedMessage, withTold } from '../../../../functions/retire/event.ts';

const DETAIL = {
  schemaVersion: 1,
  secretArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-a1B2c3',
  secretName: 'shop/database',
  versionId: '11111111-1111-4111-8111-111111111111',
  since: '2026-11-23T10:00:00.000Z',
  consumers: [{ cluster: 'c', kind: 'Deployment', namespace: 'shop', name: 'web', mode: 'restart', pods: [{}] }],
  pinned: [],
};
const EVENT = {
  version: '0',
  id: '6a7e8feb-b491-4cf7-a9f1-bf3703467718',
  source: 'rekey',
  'detail-type': 'Secret Converged',
  account: '111122223333',
  time: '2026-11-23T10:01:00Z',
  region: 'eu-west-1',
  resources: [],
  detail: DETAIL,
};

const refusal = (body: string) => {
  try {
    parseConvergedMessage(body);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a message of the retire queue', () => {
  test('is "Secret Converged" as EventBridge delivers it, with what later versions may add', () => {
    const message = parseConvergedMessage(JSON.stringify({ ...EVENT, detail: { ...DETAIL, added: 'later' } }));
    expect(message.detail).toMatchObject({ ...DETAIL, added: 'later' });
  });

  test('remembers what people were told, through any number of returns', () => {
    const first = parseConvergedMessage(JSON.stringify(EVENT));
    expect(first.detail.told).toBeUndefined();
    const second = parseConvergedMessage(withTold(first, 'SESSIONS_OPEN'));
    expect(second.detail.told).toEqual(['SESSIONS_OPEN']);
    const third = parseConvergedMessage(withTold(second, 'SOMETHING_ELSE'));
    expect(third).toEqual({ ...EVENT, detail: { ...DETAIL, told: ['SESSIONS_OPEN', 'SOMETHING_ELSE'] } });
  });

  test.each([
    ['is not JSON', 'no event', 'not JSON'],
    ['is a list', '[]', 'the whole message'],
    ['is null', 'null', 'the whole message'],
    ['is of another source', JSON.stringify({ ...EVENT, source: 'aws.secretsmanager' }), 'source'],
    ['is another event', JSON.stringify({ ...EVENT, 'detail-type': 'Secret Retired' }), 'detail-type'],
    ['has no time', JSON.stringify({ ...EVENT, time: undefined }), 'time'],
    ['has a time that is none', JSON.stringify({ ...EVENT, time: 'yesterday' }), 'time'],
    ['has no detail', JSON.stringify({ ...EVENT, detail: undefined }), 'detail'],
    ['names no ARN', JSON.stringify({ ...EVENT, detail: { ...DETAIL, secretArn: 'shop' } }), 'detail.secretArn'],
    ['has an empty name', JSON.stringify({ ...EVENT, detail: { ...DETAIL, secretName: '' } }), 'detail.secretName'],
    ['has an empty version', JSON.stringify({ ...EVENT, detail: { ...DETAIL, versionId: '' } }), 'detail.versionId'],
    [
      'has consumers without pods',
      JSON.stringify({ ...EVENT, detail: { ...DETAIL, consumers: [{ name: 'web' }] } }),
      'detail.consumers.0.pods',
    ],
    ['does not say what is pinned', JSON.stringify({ ...EVENT, detail: { ...DETAIL, pinned: undefined } }), 'pinned'],
    ['remembers no list', JSON.stringify({ ...EVENT, detail: { ...DETAIL, told: 'all' } }), 'detail.told'],
  ])('that %s is refused by the name of the field', (_, body, says) => {
    expect(refusal(body)).toMatchObject({ code: 'EVENT_INVALID', message: expect.stringContaining(says) });
  });

  test('is never quoted by its refusal', () => {
    const body = JSON.stringify({ ...EVENT, source: 'hunter2', detail: 'hunter2' });
    expect(String(refusal(body))).not.toContain('hunter2');
  });
});
