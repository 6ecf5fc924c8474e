import { randomUUID } from 'node:crypto';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import type { RekeyEvent } from '../../../../shared/operations/events.ts';
import type { Step } from '../../../../shared/rotation/plan.ts';
import { type RotationDeps, runStep, type StepOutcome } from '../../../../shared/rotation/steps.ts';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { createMemorySecrets, type MemorySecrets } from '../../../contract/fakes/secret-store.ts';
import { createMemoryTopology, type MemoryTopology } from '../../../contract/fakes/topology.ts';

/** A database that nothing may connect to. */
export const untouchable = new Proxy({} as DatabaseEngine, {
  get: (_, member) => {
    if (member === 'name') return 'postgres';
    return () => {
      throw new Error(`${String(member)} of the database was called`);
    };
  },
});

export interface Rig {
  readonly secrets: MemorySecrets;
  readonly topology: MemoryTopology;
  readonly deps: RotationDeps;
  /** What was announced. */
  readonly events: readonly RekeyEvent[];
  run(step: Step, secretArn: string, versionId: string, over?: Partial<RotationDeps>): Promise<StepOutcome>;
}

/** The rotation of secrets in memory with the given database, or with one that must not be touched. */
export function createRig(engine: DatabaseEngine = untouchable): Rig {
  const secrets = createMemorySecrets();
  const topology = createMemoryTopology();
  const events: RekeyEvent[] = [];
  const deps: RotationDeps = {
    store: secrets.store,
    engine,
    topology,
    rules: POSTGRES,
    hosts: { allowLoopback: true, allowedSuffixes: [] },
    announcer: { announce: async (event) => events.push(event) > 0 },
    // Waiting for a value that became visible late costs no time here.
    clock: { ...systemClock, sleep: async () => {} },
  };
  return {
    secrets,
    topology,
    deps,
    events,
    run: (step, secretArn, versionId, over = {}) =>
      runStep(
        { step, secretArn, versionId, rotationToken: undefined },
        { ...deps, ...over },
        deadlineIn(30_000, systemClock),
      ),
  };
}

/** The labels and values of all versions, to show that nothing changed. */
export function snapshotOf(secrets: MemorySecrets, arn: string): unknown {
  return [...secrets.secret(arn).versions].map(([versionId, { value, stages }]) => [versionId, value, [...stages]]);
}

export const newToken = (): string => randomUUID();
