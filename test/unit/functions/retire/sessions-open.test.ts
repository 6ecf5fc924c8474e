import { expect, test } from '@jest/globals';
import { SESSIONS_OPEN, sessionsOpenEvent } from '../../../../functions/retire/sessions-open.ts';
import { ERROR_CATALOGUE } from '../../../../shared/operations/errors.ts';

const SECRET = {
  secretArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-a1B2c3',
  secretName: 'shop/database',
  versionId: '11111111-1111-4111-8111-111111111111',
};
const SESSIONS = [
  { applicationName: 'nightly-report', clientAddress: '10.0.0.7', since: '2026-11-23T02:00:00.000Z' },
  { applicationName: '', clientAddress: '10.0.0.8', since: '2026-11-23T03:00:00.000Z' },
];

test('open sessions of the previous user are announced one by one, with what to do and what still works', () => {
  const event = sessionsOpenEvent(SECRET, { kind: 'sessionsOpen', user: 'shop', sessions: SESSIONS });
  expect(event).toEqual({
    type: 'Action Needed',
    detail: {
      ...SECRET,
      code: SESSIONS_OPEN,
      message: 'SESSIONS_OPEN: 2 session(s) of the previous user "shop" are open',
      retryable: true,
      action: ERROR_CATALOGUE.SESSIONS_OPEN.action,
      stillWorks: expect.stringContaining('both log in'),
      sessions: SESSIONS,
    },
  });
});
