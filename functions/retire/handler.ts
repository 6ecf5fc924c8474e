import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { type Deadline, deadlineIn } from '../../shared/operations/deadline.ts';
import { createEventBridgeAnnouncer } from '../../shared/operations/event-bridge.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { measuredAnnouncer } from '../../shared/operations/measured-announcer.ts';
import { createSqsQueue } from '../../shared/operations/sqs.ts';
import { type RetireDeps, retire } from '../../shared/rotation/retire.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { lazyTopology } from '../../shared/topology/lazy-topology.ts';
import { readDatabaseConfig } from '../database-config.ts';
import { measureFor } from '../measure.ts';
import { readRetireConfig } from './config.ts';
import { databases } from './databases.ts';
import { type ConvergedMessage, parseConvergedMessage, withTold } from './event.ts';
import { SESSIONS_OPEN, sessionsOpenEvent } from './sessions-open.ts';

/** SQS delays a message by at most 15 minutes; a longer wait is several of them. */
const LONGEST_DELAY_SECONDS = 900;

const log = createLogger('retire');
const { eventBus, ca, hosts } = readDatabaseConfig(process.env);
const { queueUrl, rotationFunctions } = readRetireConfig(process.env);
const queue = createSqsQueue(queueUrl);
const announcer = measuredAnnouncer(createEventBridgeAnnouncer(eventBus, log), measureFor(process.env), clock);
const deps: RetireDeps = {
  store: createSecretsManagerStore(),
  topology: lazyTopology(async () => (await import('../../shared/topology/rds.ts')).createRdsTopology()),
  databases: databases({ clock, ca, allowLoopback: hosts.allowLoopback }),
  hosts,
  clock,
  log,
  announcer,
  rotationFunctions,
};

/** `Secret Converged` messages. One that has to wait is sent again with a delay; only a failed one is reported back. */
export async function handler(event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  const deadline = deadlineIn(context.getRemainingTimeInMillis(), clock);
  const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
  for (const { body, messageId } of event.Records) {
    try {
      await retireOne(parseConvergedMessage(body), deadline);
    } catch (error) {
      log.error('could not retire', { messageId, error });
      batchItemFailures.push({ itemIdentifier: messageId });
    }
  }
  return { batchItemFailures };
}

async function retireOne(message: ConvergedMessage, deadline: Deadline): Promise<void> {
  const { secretArn, secretName, versionId, previousVersionId, consumers, pinned, told = [] } = message.detail;
  const request = {
    secretArn,
    versionId,
    previousVersionId,
    consumersProved: consumers.some(({ pods }) => pods.length > 0),
    pinnedUses: pinned.length > 0,
    convergedAtMs: Date.parse(message.time),
  };
  const outcome = await retire(request, deps, deadline);
  log.info('looked at the previous credential', { secretArn, versionId, outcome });
  switch (outcome.kind) {
    case 'retired':
      await announcer.announce({
        type: 'Secret Retired',
        detail: { secretArn, secretName, versionId, user: outcome.user, engine: outcome.engine },
      });
      return;
    case 'tooEarly':
      await queue.send(JSON.stringify(message), Math.min(outcome.retryInSeconds, LONGEST_DELAY_SECONDS));
      return;
    case 'sessionsOpen':
      if (!told.includes(SESSIONS_OPEN)) await announcer.announce(sessionsOpenEvent(message.detail, outcome));
      // Until the sessions end or the next rotation takes this version's place.
      await queue.send(withTold(message, SESSIONS_OPEN), LONGEST_DELAY_SECONDS);
      return;
    case 'nothingToRetire':
    case 'superseded':
    case 'leftAlone':
      return;
  }
}
