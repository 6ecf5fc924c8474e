import { randomUUID } from 'node:crypto';
import type { DatabaseEngine } from '../../../../shared/engines/port.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import type { RekeyEvent } from '../../../../shared/operations/events.ts';
import { STEPS, type Step } from '../../../../shared/rotation/plan.ts';
import { type RotationDeps, runStep, type StepOutcome } from '../../../../shared/rotation/steps.ts';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { createMemorySecrets, type MemorySecrets } from '../../../contract/fakes/secret-store.ts';
import { createMemoryTopology, type MemoryTopology } from '../../../contract/fakes/topology.ts';
import type { FakeDatabase } from '../../../sandbox/fakes/database-engine.ts';

/** A database that nothing may connect to. */
const untouchable: DatabaseEngine = {
  ...forbidden({ name: 'postgres' }, ['login', 'setPassword', 'inspect']),
  alternatingUsers: forbidden({ observer: 'either-user' }, [
    'prepareAlternate',
    'differences',
    'missingForAlternate',
    'disableAlternate',
  ]),
};

function forbidden<Known extends object, Method extends string>(known: Known, methods: readonly Method[]) {
  const calls = methods.map((method) => {
    const refuse = (): never => {
      throw new Error(`${method} of the database was called`);
    };
    return [method, refuse] as const;
  });
  return { ...known, ...(Object.fromEntries(calls) as Record<Method, () => never>) };
}

/** An engine that knows alternating users and pairs, and no second password. */
export function likePostgres({ engine: { dualPassword: _, ...engine } }: FakeDatabase): DatabaseEngine {
  return engine;
}

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
    hosts: { allowLoopback: true, allowedSuffixes: [], authorities: new Map() },
    announcer: { announce: async (event) => events.push(event) > 0 },
    // Waiting for a value that became visible late costs no time here.
    clock: { ...systemClock, sleep: async () => {} },
    log: { info: () => {}, warn: () => {} },
    changedAt: new Map(),
  };
  return {
    secrets,
    topology,
    deps,
    events,
    run(step, secretArn, versionId, over = {}) {
      const used = { ...deps, ...over };
      return runStep({ step, secretArn, versionId, rotationToken: undefined }, used, deadlineIn(30_000, used.clock));
    },
  };
}

/** What a whole rotation fails with, at the first step that refuses. */
export async function refusalOf(rig: Rig, secretArn: string, versionId: string): Promise<unknown> {
  for (const step of STEPS) {
    try {
      await rig.run(step, secretArn, versionId);
    } catch (error) {
      return error;
    }
  }
  throw new Error('the rotation was not refused');
}

/** The labels and values of all versions, to show that nothing changed. */
export function snapshotOf(secrets: MemorySecrets, arn: string): unknown {
  return [...secrets.secret(arn).versions].map(([versionId, { value, stages }]) => [versionId, value, [...stages]]);
}

export const newToken = (): string => randomUUID();
