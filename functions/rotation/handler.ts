import type { Context } from 'aws-lambda';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { type Deadline, deadlineIn } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createEventBridgeAnnouncer } from '../../shared/operations/event-bridge.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { measuredAnnouncer } from '../../shared/operations/measured-announcer.ts';
import { createPeer, type PeerOutcome } from '../../shared/rotation/create-peer.ts';
import { moveBack } from '../../shared/rotation/move-back.ts';
import { type PreflightReport, preflight } from '../../shared/rotation/preflight.ts';
import { type RotationDeps, runStep } from '../../shared/rotation/steps.ts';
import type { Database } from '../../shared/rotation/strategy.ts';
import { rememberVersions } from '../../shared/secrets/remembered-versions.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { lazyTopology } from '../../shared/topology/lazy-topology.ts';
import { type EngineOptions, readDatabaseConfig } from '../database-config.ts';
import { measureFor } from '../measure.ts';
import { parseRotationEvent, type RotationEvent } from './event.ts';

/**
 * What Lambda calls for one kind of database: one of the four steps for one secret, or a message of its queue, of which
 * the caller only looks at whether it throws; or what a person asks, who gets an answer.
 */
export function rotationHandler(serviceName: string, connect: (options: EngineOptions) => Database) {
  const log = createLogger(serviceName);
  const { eventBus, ca, hosts } = readDatabaseConfig(process.env);
  const deps: RotationDeps = {
    ...connect({ clock, ca, allowLoopback: hosts.allowLoopback }),
    store: rememberVersions(createSecretsManagerStore(), clock),
    topology: lazyTopology(async () => (await import('../../shared/topology/rds.ts')).createRdsTopology()),
    hosts,
    announcer: measuredAnnouncer(createEventBridgeAnnouncer(eventBus, log), measureFor(process.env), clock),
    clock,
    log,
    changedAt: new Map(),
  };

  return async function handler(event: unknown, context: Context): Promise<PreflightReport | PeerOutcome | undefined> {
    const startedAtMs = clock.now();
    let lines = log;
    let what: string = 'step';
    try {
      const parsed = parseRotationEvent(event, context.invokedFunctionArn);
      const deadline = deadlineIn(context.getRemainingTimeInMillis(), clock);
      lines = log.with(about(parsed));
      what = parsed.kind;
      lines.info(`${what} started`);
      const { outcome, answer } = await carryOut(parsed, { ...deps, log: lines }, deadline);
      lines.info(`${what} finished`, { outcome, ms: clock.now() - startedAtMs });
      return answer;
    } catch (error) {
      lines.error(`${what} failed`, { error, ms: clock.now() - startedAtMs });
      // Lambda logs what is thrown: a foreign error may quote a statement.
      throw asRekeyError(error);
    }
  };
}

function about(event: RotationEvent) {
  if (event.kind === 'moveBack') {
    const { secretArn, versionId, previousVersionId } = event.request;
    return { secretArn, versionId, previousVersionId };
  }
  if (event.kind !== 'step') return { order: event.kind, secretArn: event.secretArn };
  const { step, secretArn, versionId } = event.request;
  return { step, secretArn, versionId };
}

/** @returns what is logged, and what a person who asked is answered */
async function carryOut(event: RotationEvent, deps: RotationDeps, deadline: Deadline) {
  switch (event.kind) {
    case 'step':
      return { outcome: await runStep(event.request, deps, deadline), answer: undefined };
    case 'moveBack':
      return { outcome: await moveBack(event.request, deps, deadline), answer: undefined };
    case 'preflight': {
      const report = await preflight(event.secretArn, deps, deadline);
      return { outcome: { works: report.works }, answer: report };
    }
    case 'createPeer': {
      const outcome = await createPeer(event.secretArn, deps, deadline);
      return { outcome, answer: outcome };
    }
  }
}
