import type { Context } from 'aws-lambda';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createEventBridgeAnnouncer } from '../../shared/operations/event-bridge.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { type RotationDeps, runStep } from '../../shared/rotation/steps.ts';
import type { Database } from '../../shared/rotation/strategy.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { createRdsTopology } from '../../shared/topology/rds.ts';
import { type EngineOptions, readDatabaseConfig } from '../database-config.ts';
import { parseRotationEvent } from './event.ts';

/**
 * What Lambda calls for one kind of database: one of the four steps for one secret. Secrets Manager looks only at
 * whether it throws.
 */
export function rotationHandler(serviceName: string, connect: (options: EngineOptions) => Database) {
  const log = createLogger(serviceName);
  const { eventBus, ca, hosts } = readDatabaseConfig(process.env);
  const deps: RotationDeps = {
    ...connect({ clock, ca, allowLoopback: hosts.allowLoopback }),
    store: createSecretsManagerStore(),
    topology: createRdsTopology(),
    hosts,
    announcer: createEventBridgeAnnouncer(eventBus, log),
    clock,
    log,
    changedAt: new Map(),
  };

  return async function handler(event: unknown, context: Context): Promise<void> {
    const startedAtMs = clock.now();
    let lines = log;
    try {
      const request = parseRotationEvent(event, context.invokedFunctionArn);
      const { step, secretArn, versionId } = request;
      lines = log.with({ step, secretArn, versionId });
      lines.info('step started');
      const deadline = deadlineIn(context.getRemainingTimeInMillis(), clock);
      const outcome = await runStep(request, { ...deps, log: lines }, deadline);
      lines.info('step finished', { outcome, ms: clock.now() - startedAtMs });
    } catch (error) {
      lines.error('step failed', { error, ms: clock.now() - startedAtMs });
      // Lambda logs what is thrown: a foreign error may quote a statement.
      throw asRekeyError(error);
    }
  };
}
