import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { RotationEventName } from './events.ts';
import { completeRotation, endRotationTest, giveUpRotation, type Secret } from './secret.ts';

/** What a rotation function is invoked with: user guide, "Lambda rotation functions". */
export interface RotationRequest {
  readonly Step: 'createSecret' | 'setSecret' | 'testSecret' | 'finishSecret';
  /** The complete ARN. */
  readonly SecretId: string;
  /** The id of the pending version. */
  readonly ClientRequestToken: string;
  readonly RotationToken: string;
}

/** @throws when the function failed, or could not be invoked */
export type InvokeRotation = (functionArn: string, request: RotationRequest) => Promise<void>;

export interface RotationRetry {
  /** Of the whole process, after the first attempt. How often AWS retries is not documented. */
  readonly attempts: number;
  readonly delayMs: number;
}

/** What the runner sees and does of a secret. */
export interface RotationPort {
  /** Undefined when it is gone. */
  read(secretArn: string): Secret | undefined;
  write(before: Secret, after: Secret): void;
  announce(event: RotationEventName, secretArn: string, errorMessage?: string): void;
  readonly now: () => number;
  readonly invoke: InvokeRotation;
}

const STEPS = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;

type Outcome =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'failed'; readonly why: string }
  /** Cancelled, abandoned or deleted meanwhile. */
  | { readonly kind: 'ended' };

/**
 * Runs the four steps in order, stops at a failure, and then repeats the whole process with the same token
 * (DescribeSecret, NextRotationDate: "retries the entire rotation process multiple times"). Each failed attempt
 * announces RotationFailed, which is an assumption. The secret's `underWay` says whether the rotation is still wanted.
 */
export async function runRotation(
  port: RotationPort,
  secretArn: string,
  token: string,
  retry: RotationRetry,
  signal: AbortSignal,
): Promise<void> {
  const rotationToken = randomUUID();
  port.announce('RotationStarted', secretArn);
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await attemptRotation(port, { secretArn, token, rotationToken, signal });
    if (outcome.kind === 'ended') return;
    if (outcome.kind === 'succeeded') return port.announce('RotationSucceeded', secretArn);
    port.announce('RotationFailed', secretArn, outcome.why);
    if (attempt === retry.attempts) break;
    await delay(retry.delayMs, undefined, { signal }).catch(() => undefined);
  }
  const secret = wanted(port, secretArn, token);
  if (secret) port.write(secret, giveUpRotation(secret));
}

/** RotateImmediately=false: testSecret alone, once, and the version made for it goes away again. */
export async function runRotationTest(port: RotationPort, secretArn: string, token: string): Promise<void> {
  port.announce('TestRotationStarted', secretArn);
  const failure = await invokeStep(port, { secretArn, token, rotationToken: randomUUID() }, 'testSecret');
  const secret = port.read(secretArn);
  if (secret) port.write(secret, endRotationTest(secret, token));
  port.announce(failure === undefined ? 'TestRotationSucceeded' : 'TestRotationFailed', secretArn, failure);
}

interface Attempt {
  readonly secretArn: string;
  readonly token: string;
  readonly rotationToken: string;
}

async function attemptRotation(port: RotationPort, attempt: Attempt & { signal: AbortSignal }): Promise<Outcome> {
  const { secretArn, token, signal } = attempt;
  for (const step of STEPS) {
    const before = wanted(port, secretArn, token);
    if (!before || signal.aborted) return { kind: 'ended' };
    const failure = await invokeStep(port, attempt, step);
    const after = wanted(port, secretArn, token);
    if (!after) return { kind: 'ended' };
    if (failure !== undefined) return { kind: 'failed', why: failure };
    if (step === 'createSecret' && !after.versions.find(({ id }) => id === token)?.value)
      return { kind: 'failed', why: notCreated(after, token) };
  }
  const secret = wanted(port, secretArn, token);
  const completed = secret && completeRotation(secret, token, port.now());
  if (!secret || !completed) return { kind: 'failed', why: `AWSCURRENT is not on version ${token} after finishSecret` };
  port.write(secret, completed);
  return { kind: 'succeeded' };
}

/** @returns the message of the failure, which names the function and the step but not what the function said */
async function invokeStep(
  port: RotationPort,
  { secretArn, token, rotationToken }: Attempt,
  step: RotationRequest['Step'],
): Promise<string | undefined> {
  const functionArn = port.read(secretArn)?.rotation?.functionArn ?? '';
  try {
    await port.invoke(functionArn, {
      Step: step,
      SecretId: secretArn,
      ClientRequestToken: token,
      RotationToken: rotationToken,
    });
    return undefined;
  } catch {
    return `Error when executing lambda ${functionArn} during ${step} step`;
  }
}

/** User guide, "Troubleshoot rotation": the message of a RotationFailed event. */
function notCreated(secret: Secret, token: string): string {
  return `Pending secret version ${token} for Secret ${secret.arn} was not created by Lambda ${secret.rotation?.functionArn}. Remove the AWSPENDING staging label and restart rotation.`;
}

function wanted(port: RotationPort, secretArn: string, token: string): Secret | undefined {
  const secret = port.read(secretArn);
  return secret?.underWay === token && secret.deletedAtMs === undefined ? secret : undefined;
}
