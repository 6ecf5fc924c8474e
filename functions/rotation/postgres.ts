import type { Context } from 'aws-lambda';
import { createPostgresEngine } from '../../shared/engines/postgres.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createEventBridgeAnnouncer } from '../../shared/operations/event-bridge.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { type RotationDeps, runStep } from '../../shared/rotation/steps.ts';
import { POSTGRES } from '../../shared/secrets/engine-rules.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { createRdsTopology } from '../../shared/topology/rds.ts';
import { readDatabaseConfig } from '../database-config.ts';
import { parseRotationEvent } from './event.ts';

const log = createLogger('rotation-postgres');
const { eventBus, ca, hosts } = readDatabaseConfig(process.env);
const deps: RotationDeps = {
  store: createSecretsManagerStore(),
  engine: createPostgresEngine({ clock, ca, allowLoopback: hosts.allowLoopback }),
  topology: createRdsTopology(),
  rules: POSTGRES,
  hosts,
  announcer: createEventBridgeAnnouncer(eventBus, log),
  clock,
};

/** One of the four steps for one PostgreSQL secret. Secrets Manager looks only at whether it throws. */
export async function handler(event: unknown, context: Context): Promise<void> {
  const startedAtMs = clock.now();
  let lines = log;
  try {
    const request = parseRotationEvent(event, context.invokedFunctionArn);
    const { step, secretArn, versionId } = request;
    lines = log.with({ step, secretArn, versionId });
    lines.info('step started');
    const outcome = await runStep(request, deps, deadlineIn(context.getRemainingTimeInMillis(), clock));
    lines.info('step finished', { outcome, ms: clock.now() - startedAtMs });
  } catch (error) {
    lines.error('step failed', { error, ms: clock.now() - startedAtMs });
    // Lambda logs what is thrown: a foreign error may quote a statement.
    throw asRekeyError(error);
  }
}
