import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BackgroundWork } from '../aws/background-work.ts';
import { AwsError, type Need } from '../aws/service.ts';
import type { Credentials } from '../aws/sts.ts';
import { type Environment, type Outcome, startEnvironment } from './environment.ts';

/** Lambda's own are one and two minutes (Developer Guide, "Asynchronous invocation"); the count is the same. */
const ASYNC_RETRY_DELAYS_MS = [50, 100];
const MAX_RESPONSE_BYTES = 6 * 1024 * 1024;
const MAX_VARIABLES_BYTES = 4 * 1024;
/** Lambda Developer Guide, "Reserved environment variables". */
const RESERVED_VARIABLES =
  /^(_HANDLER|_X_AMZN_TRACE_ID|AWS_(DEFAULT_REGION|REGION|EXECUTION_ENV|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)|AWS_LAMBDA_(FUNCTION_NAME|FUNCTION_MEMORY_SIZE|FUNCTION_VERSION|INITIALIZATION_TYPE|LOG_GROUP_NAME|LOG_STREAM_NAME|RUNTIME_API)|LAMBDA_(TASK_ROOT|RUNTIME_DIR))$/;

export interface Deployment {
  readonly name: string;
  /** Holds the built bundle, `index.mjs`, which exports `handler`. */
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** @default 128, as on AWS */
  readonly memoryMb?: number;
  /** @default 3, as on AWS */
  readonly timeoutSeconds?: number;
  /** False starts a new process for every invocation. @default true */
  readonly reuse?: boolean;
  /** The execution role. @default the function's name with `-role` */
  readonly roleName?: string;
  /** @default `/aws/lambda/` and the name */
  readonly logGroup?: string;
  /** Of an asynchronous invocation that ends in a function error, 0 to 2. @default 2 */
  readonly retryAttempts?: number;
}

export interface DeployedFunction extends Required<Deployment> {
  readonly arn: string;
  readonly roleArn: string;
  readonly deployedAt: Date;
}

export interface InvocationResult {
  /** False for a function error; `payload` is then `{ errorType, errorMessage, trace? }`. */
  readonly ok: boolean;
  readonly payload: unknown;
  /** From START to REPORT. */
  readonly logs: readonly string[];
}

/** What Lambda's control and data plane does with functions. A function is named by its name or its ARN. */
export interface Functions {
  /** Creates the function or replaces it. @returns its ARN @throws AwsError InvalidParameterValueException */
  deploy(deployment: Deployment): string;
  /** @throws AwsError ResourceNotFoundException */
  find(nameOrArn: string): DeployedFunction;
  /** Whether or not there is such a function. */
  arnOf(nameOrArn: string): string;
  list(): readonly DeployedFunction[];
  /** PutFunctionEventInvokeConfig. @throws AwsError ResourceNotFoundException */
  configureAsync(nameOrArn: string, config: { readonly retryAttempts: number }): void;
  /** Synchronous invocation. @throws AwsError ResourceNotFoundException */
  invoke(nameOrArn: string, event: unknown): Promise<InvocationResult>;
  /** Asynchronous invocation: returns at once, retries a function error twice. @throws AwsError ResourceNotFoundException */
  invokeLater(nameOrArn: string, event: unknown): void;
  /** Ends the processes with an invocation under way, without warning. @returns how many */
  kill(nameOrArn: string): number;
  /** Ends the processes that wait for work, of these functions or of all: their next invocation is a cold start. */
  recycle(names?: readonly string[]): void;
  /** Everything that the function has logged, of all its environments. */
  logs(nameOrArn: string): readonly string[];
  /** Ends every process and waits for that. */
  close(): Promise<void>;
}

interface State {
  deployed: DeployedFunction;
  readonly lines: string[];
  readonly idle: Environment[];
  readonly busy: Set<Environment>;
}

/**
 * Simulated Lambda control plane over real processes. Not simulated: throttling, versions and aliases, layers, VPC.
 * @param endpoint what the functions get as AWS_ENDPOINT_URL
 * @param allows whether the function's role may do what Lambda itself does in its name
 */
export function createFunctions(options: {
  readonly accountId: string;
  readonly region: string;
  readonly work: BackgroundWork;
  readonly endpoint: () => string;
  readonly credentialsFor: (deployed: DeployedFunction) => Credentials;
  readonly allows: (deployed: DeployedFunction, need: Need) => boolean;
}): Functions {
  const { accountId, region, work } = options;
  if (!process.version.startsWith('v24.'))
    throw new Error(`functions run on the Node that runs the sandbox: 24 is needed, this is ${process.version}`);
  const arnPrefix = `arn:aws:lambda:${region}:${accountId}:function:`;
  const states = new Map<string, State>();
  const environments = new Set<Environment>();
  /** Without the right to write its log, a function runs all the same, and nobody reads what it says. */
  const loggers = new WeakMap<Environment, () => boolean>();
  const closing = new AbortController();

  const nameIn = (nameOrArn: string) =>
    nameOrArn.replace(/^(arn:aws:lambda:[^:]*:)?(\d{12}:)?(function:)?/, '').replace(/:\$LATEST$/, '');

  function stateOf(nameOrArn: string): State {
    const name = nameIn(nameOrArn);
    const state = states.get(name);
    if (!state) throw new AwsError('ResourceNotFoundException', `Function not found: ${arnPrefix}${name}`, 404);
    return state;
  }

  async function start({ deployed, lines }: State): Promise<Environment> {
    const stream = `${new Date().toISOString().slice(0, 10).replaceAll('-', '/')}/[$LATEST]${randomBytes(16).toString('hex')}`;
    const credentials = options.credentialsFor(deployed);
    const streamArn = `arn:aws:logs:${region}:${accountId}:log-group:${deployed.logGroup}:log-stream:${stream}`;
    const hasStream = options.allows(deployed, { action: 'logs:CreateLogStream', resource: streamArn });
    const mayLog = () => hasStream && options.allows(deployed, { action: 'logs:PutLogEvents', resource: streamArn });
    const environment = await startEnvironment({
      folder: deployed.folder,
      memoryMb: deployed.memoryMb,
      timeoutMs: deployed.timeoutSeconds * 1_000,
      logIdle: (line) => {
        if (mayLog()) lines.push(line);
      },
      variables: {
        ...deployed.environment,
        AWS_ENDPOINT_URL: deployed.environment['AWS_ENDPOINT_URL'] ?? options.endpoint(),
        AWS_REGION: region,
        AWS_DEFAULT_REGION: region,
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        AWS_SESSION_TOKEN: credentials.sessionToken,
        AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
        AWS_LAMBDA_FUNCTION_NAME: deployed.name,
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(deployed.memoryMb),
        AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
        AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
        AWS_LAMBDA_LOG_GROUP_NAME: deployed.logGroup,
        AWS_LAMBDA_LOG_STREAM_NAME: stream,
        LAMBDA_TASK_ROOT: deployed.folder,
        LAMBDA_RUNTIME_DIR: '/var/runtime',
        _HANDLER: 'index.handler',
        LANG: 'en_US.UTF-8',
        TZ: ':UTC',
      },
    });
    environments.add(environment);
    loggers.set(environment, mayLog);
    if (closing.signal.aborted) await environment.end();
    return environment;
  }

  /** An idle environment, the last used first, or a cold start. */
  async function acquire(state: State): Promise<{ environment: Environment; cold: boolean }> {
    for (;;) {
      const environment = state.idle.pop();
      if (!environment) return { environment: await start(state), cold: true };
      if (environment.usable) return { environment, cold: false };
      environments.delete(environment);
    }
  }

  async function release(state: State, environment: Environment): Promise<void> {
    state.busy.delete(environment);
    const isCurrent = states.get(state.deployed.name) === state;
    if (environment.usable && state.deployed.reuse && isCurrent) state.idle.push(environment);
    else {
      await environment.end();
      environments.delete(environment);
    }
  }

  async function invokeOnce(state: State, payload: string, requestId: string): Promise<InvocationResult> {
    const { deployed } = state;
    const beganAt = performance.now();
    const { environment, cold } = await acquire(state);
    const logs: string[] = [];
    const isLogged = loggers.get(environment)?.() ?? true;
    const log = (line: string) => {
      logs.push(line);
      if (isLogged) state.lines.push(line);
    };
    state.busy.add(environment);
    log(`START RequestId: ${requestId} Version: $LATEST`);
    const outcome = await environment.run({ requestId, functionArn: deployed.arn, payload }, log);
    const error = functionError(outcome, requestId, deployed.timeoutSeconds);
    if (outcome.kind === 'timed-out')
      log(`${new Date().toISOString()} ${requestId} ${timedOut(deployed.timeoutSeconds)}`);
    log(`END RequestId: ${requestId}`);
    const initMs = cold ? environment.initMs : 0;
    log(
      [
        `REPORT RequestId: ${requestId}`,
        `Duration: ${(performance.now() - beganAt - initMs).toFixed(2)} ms`,
        `Memory Size: ${deployed.memoryMb} MB`,
        `Max Memory Used: ${Math.ceil(environment.maxMemoryMb)} MB`,
        ...(cold ? [`Init Duration: ${initMs.toFixed(2)} ms`] : []),
        ...(outcome.kind === 'out-of-memory' ? ['Status: error', 'Error Type: Runtime.OutOfMemory'] : []),
        ...(outcome.kind === 'timed-out' ? ['Status: timeout'] : []),
      ].join('\t'),
    );
    await release(state, environment);
    if (error !== undefined) return { ok: false, payload: error, logs };
    return { ok: true, payload: JSON.parse((outcome as { body: string }).body), logs };
  }

  return {
    deploy(deployment) {
      const deployed = complete(deployment, accountId, `${arnPrefix}${deployment.name}`);
      const replaced = states.get(deployed.name);
      states.set(deployed.name, { deployed, lines: replaced?.lines ?? [], idle: [], busy: new Set() });
      for (const environment of replaced?.idle ?? [])
        work.run(async () => {
          await environment.end();
          environments.delete(environment);
        });
      return deployed.arn;
    },
    find: (nameOrArn) => stateOf(nameOrArn).deployed,
    arnOf: (nameOrArn) => `${arnPrefix}${nameIn(nameOrArn)}`,
    configureAsync(nameOrArn, config) {
      const state = stateOf(nameOrArn);
      state.deployed = { ...state.deployed, ...config };
    },
    list: () => [...states.values()].map(({ deployed }) => deployed),
    invoke: async (nameOrArn, event) => invokeOnce(stateOf(nameOrArn), toPayload(event), randomUUID()),
    invokeLater(nameOrArn, event) {
      const state = stateOf(nameOrArn);
      const payload = toPayload(event);
      const requestId = randomUUID();
      work.run(async () => {
        for (const milliseconds of [0, ...ASYNC_RETRY_DELAYS_MS.slice(0, state.deployed.retryAttempts)]) {
          if (milliseconds > 0) await delay(milliseconds, undefined, { signal: closing.signal }).catch(() => undefined);
          if (closing.signal.aborted || (await invokeOnce(state, payload, requestId)).ok) return;
        }
      });
    },
    kill(nameOrArn) {
      const { busy } = stateOf(nameOrArn);
      for (const environment of busy) environment.kill();
      return busy.size;
    },
    recycle(names = [...states.keys()]) {
      for (const environment of names.flatMap((name) => stateOf(name).idle.splice(0)))
        work.run(async () => {
          await environment.end();
          environments.delete(environment);
        });
    },
    logs: (nameOrArn) => stateOf(nameOrArn).lines,
    async close() {
      closing.abort();
      await Promise.all([...environments].map((environment) => environment.end()));
    },
  };
}

/** @throws AwsError InvalidParameterValueException */
function complete(deployment: Deployment, accountId: string, arn: string): DeployedFunction {
  const { name, folder, environment = {}, memoryMb = 128, timeoutSeconds = 3, reuse = true } = deployment;
  const { logGroup = `/aws/lambda/${name}`, retryAttempts = ASYNC_RETRY_DELAYS_MS.length } = deployment;
  const invalid = (message: string) => new AwsError('InvalidParameterValueException', message);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw invalid(`the function name ${name} is not valid`);
  if (!existsSync(join(folder, 'index.mjs'))) throw invalid(`${folder} has no index.mjs`);
  if (!Number.isInteger(memoryMb) || memoryMb < 128 || memoryMb > 10_240)
    throw invalid(`memory must be 128 to 10240 MB, not ${memoryMb}`);
  if (!(timeoutSeconds > 0 && timeoutSeconds <= 900))
    throw invalid(`the time-out must be at most 900 seconds, not ${timeoutSeconds}`);
  const reserved = Object.keys(environment).filter((variable) => RESERVED_VARIABLES.test(variable));
  if (reserved.length > 0)
    throw invalid(
      `Lambda was unable to configure your environment variables because they contain reserved keys: ${reserved.join(', ')}`,
    );
  if (Buffer.byteLength(JSON.stringify(environment)) > MAX_VARIABLES_BYTES)
    throw invalid('Lambda was unable to configure your environment variables because they exceeded the 4KB limit.');
  const roleName = deployment.roleName ?? `${name}-role`;
  const roleArn = `arn:aws:iam::${accountId}:role/${roleName}`;
  const limits = { memoryMb, timeoutSeconds, reuse, retryAttempts };
  return { name, folder, environment, ...limits, logGroup, roleName, roleArn, arn, deployedAt: new Date() };
}

/** The payload of a function error as Lambda words it, or undefined when there was none. */
function functionError(outcome: Outcome, requestId: string, timeoutSeconds: number): unknown {
  const failure = (errorType: string, reason: string) => ({
    errorType,
    errorMessage: `RequestId: ${requestId} Error: ${reason}`,
  });
  switch (outcome.kind) {
    case 'error':
    case 'init-error':
      return JSON.parse(outcome.body);
    case 'timed-out':
      return failure('Sandbox.Timedout', timedOut(timeoutSeconds));
    case 'exited':
      return failure('Runtime.ExitError', `Runtime exited with error: ${outcome.how}`);
    case 'out-of-memory':
      return failure('Runtime.ExitError', 'Runtime exited with error: signal: killed');
    case 'response':
      return Buffer.byteLength(outcome.body) > MAX_RESPONSE_BYTES
        ? {
            errorType: 'Function.ResponseSizeTooLarge',
            errorMessage: `Response payload size exceeded maximum allowed payload size (${MAX_RESPONSE_BYTES} bytes).`,
          }
        : undefined;
  }
}

function timedOut(seconds: number): string {
  return `Task timed out after ${seconds.toFixed(2)} seconds`;
}

function toPayload(event: unknown): string {
  return JSON.stringify(event ?? {});
}
