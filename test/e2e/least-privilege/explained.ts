const UNDELIVERED = 'Used when EventBridge cannot deliver: the event waits in the dead-letter queue for a person.';

/** Rights that no scenario uses, and why they stay. */
export const UNUSED: Readonly<Record<string, string>> = {
  'policy of kms:key/… : kms:*':
    'The account’s administrators: a key whose policy leaves them out can be changed by nobody any more.',
  'policy of sns:rekey-sandbox-notifications PublishedByAlarms: sns:Publish':
    'CloudWatch tells of alarms; the sandbox simulates none.',
  'policy of sqs:rekey-sandbox-notifications-dead-letters : sqs:SendMessage':
    'SNS puts there what an e-mail subscription did not take; the sandbox sends no mail.',
  'policy of sqs:rekey-sandbox-notifications-dead-letters WhatCouldNotBeTold: sqs:SendMessage': UNDELIVERED,
  'policy of sqs:rekey-sandbox-retire-dead-letters PutWhenUndelivered: sqs:SendMessage': UNDELIVERED,
  'policy of sqs:rekey-sandbox-rotation-postgres-dead-letters PutWhenUndelivered: sqs:SendMessage': UNDELIVERED,
  'policy of sqs:rekey-sandbox-sync-dead-letters PutWhenUndelivered: sqs:SendMessage': UNDELIVERED,
};
