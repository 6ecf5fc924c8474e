import { type BackgroundWork, createBackgroundWork } from '../background-work.ts';
import type { EventEnvelope } from '../event-bridge/event.ts';
import { handleWith } from '../operation.ts';
import type { AwsService } from '../service.ts';
import { eventsOfChange, type Occurrence, rotationEvent } from './events.ts';
import { needsOf } from './needs.ts';
import { type AccessDates, readOperations } from './reads.ts';
import {
  type InvokeRotation,
  type RotationPort,
  type RotationRetry,
  runRotation,
  runRotationTest,
} from './rotation.ts';
import type { Secret } from './secret.ts';
import { createStore, type View } from './store.ts';
import { writeOperations } from './writes.ts';

export type { InvokeRotation, RotationRequest, RotationRetry } from './rotation.ts';
export type { Secret, Version } from './secret.ts';

export interface SecretsManager extends AwsService {
  /** Resolves when no rotation is under way and none waits for its retry. */
  idle(): Promise<void>;
  /** Begins no further step of any rotation. */
  close(): void;
  /** A secret as it is, with deprecated versions and values. @throws AwsError ResourceNotFoundException */
  inspect(secretId: string): Secret;
  /** Makes the secret one that another service (`rds`) manages, or no longer. No API does that. */
  setOwningService(secretId: string, service: string | undefined): void;
  /** Puts a tag on it whose key begins with `aws:`, as a service does to a secret that it makes. No API does that. */
  setSystemTag(secretId: string, key: string, value: string): void;
}

/**
 * Simulated Secrets Manager, as strict as the documentation. Values are kept in memory in plain text. Not simulated:
 * encryption itself (who may use the key is), replicas, managed external secrets, and the schedule, which is checked
 * and reported but rotates nothing by itself.
 *
 * @param invokeRotation runs a step of a rotation function; rejects when the function failed
 * @param publish takes what Secrets Manager emits onto the default event bus, in order
 * @param testVersionHolds what the version made for RotateImmediately=false holds, which is not documented
 */
export function createSecretsManager(options: {
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly invokeRotation: InvokeRotation;
  readonly publish: (event: EventEnvelope) => void;
  readonly retry?: RotationRetry;
  readonly testVersionHolds?: 'nothing' | 'current value';
  readonly background?: BackgroundWork;
}): SecretsManager {
  const { accountId, region, now, publish } = options;
  const retry = options.retry ?? { attempts: 2, delayMs: 100 };
  const background = options.background ?? createBackgroundWork();
  const closing = new AbortController();
  const store = createStore(now);
  const { present } = store;
  const accessed: AccessDates = new Map();

  const occurrence = (): Occurrence => ({ accountId, region, atMs: now() });

  function write(before: Secret | undefined, after: Secret): void {
    if (before === after) return;
    store.write(before, after);
    for (const event of eventsOfChange(before, after, occurrence())) publish(event);
  }

  const rotationPort: RotationPort = {
    now,
    write,
    read: (arn) => present.all().find((secret) => secret.arn === arn),
    announce: (name, arn, errorMessage) => publish(rotationEvent(name, arn, occurrence(), errorMessage)),
    invoke: options.invokeRotation,
  };

  const reads = (view: View) => readOperations({ view, accessed, region, now });
  const writes = writeOperations({
    present,
    write,
    remove: (secret) => store.write(secret, undefined),
    begin: (run, secretArn, token) =>
      background.run(async () => {
        // The answer to RotateSecret goes out before the first step runs.
        await new Promise(setImmediate);
        if (closing.signal.aborted) return;
        if (run === 'test') await runRotationTest(rotationPort, secretArn, token);
        else await runRotation(rotationPort, secretArn, token, retry, closing.signal);
      }),
    accountId,
    region,
    now,
    testVersionHolds: options.testVersionHolds ?? 'nothing',
  });

  return {
    name: 'secretsmanager',
    protocols: [{ kind: 'json', version: '1.1', targetPrefix: 'secretsmanager' }],
    handle: handleWith({ ...reads(present), ...writes }),
    handleStale: handleWith({ ...reads(store.stale), ...writes }),
    denial: { code: 'AccessDeniedException', status: 400 },
    needs: (operation, input) => needsOf(operation, input, { lookUp: present.lookUp, accountId, region }),
    idle: () => background.settled(),
    close: () => closing.abort(),
    inspect: (secretId) => present.find(secretId),
    setOwningService(secretId, service) {
      const before = present.find(secretId);
      write(before, { ...before, owningService: service });
    },
    setSystemTag(secretId, Key, Value) {
      const before = present.find(secretId);
      write(before, { ...before, tags: [...before.tags, { Key, Value }] });
    },
  };
}
