import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VARIABLES } from '../infra/wiring.ts';
import type { StrategyName } from '../shared/rotation/strategy.ts';
import {
  awsFunction,
  type FunctionHost,
  type HostedFunction,
  nodeFunction,
  startFunctionHost,
} from '../test/sandbox/function-host/index.ts';
import type { RotationAccount } from '../test/sandbox/rotation-account.ts';
import type { BenchEngine, BenchServer, Course } from './engines.ts';
import type { Floor } from './floor/scripts.ts';

/** Who rotates: the built bundle, AWS's own function, or the least that has to be done. */
export type ContenderName = 'rekey' | 'aws' | Floor;

/** AWS's functions and the Python that runs them. */
export interface AwsFunctions {
  readonly folder: string;
  readonly python: string;
}

/** What all contenders of one strategy share. */
export interface Ground {
  readonly engine: BenchEngine;
  readonly strategy: StrategyName;
  readonly course: Course;
  readonly server: BenchServer;
  readonly account: RotationAccount;
  /** Of Rekey's function. */
  readonly bundle: string;
  /** Where the contenders find the database and AWS: behind the meters. */
  readonly databasePort: number;
  readonly endpoint: string;
}

/** One who rotates a secret of its own, over and over. */
export interface Contender {
  readonly name: ContenderName;
  readonly secretArn: string;
  /** Once, before the first rotation. */
  prepare(): Promise<void>;
  /** Begins a new process; the one before has to have ended. */
  start(): Promise<FunctionHost>;
  /** One whole rotation by the process that was started. @returns milliseconds in the function, step by step */
  rotate(): Promise<Readonly<Record<string, number>>>;
  end(): Promise<void>;
}

export const EVENT_BUS = 'rekey';

const FLOOR_HANDLER = fileURLToPath(new URL('./floor/handler.ts', import.meta.url));

let made = 0;

export async function createContender(name: ContenderName, ground: Ground, aws?: AwsFunctions): Promise<Contender> {
  const { account, strategy } = ground;
  made += 1;
  const user = `app${made}`;
  const functionName = `${name}-${user}`;
  let host: FunctionHost | undefined;
  const running = () => {
    if (!host) throw new Error(`${functionName} was not started`);
    return host;
  };
  let steps: Record<string, number> = {};
  const functionArn = account.register(functionName, async (request) => {
    steps[request.Step] = await running().invoke(request);
  });
  const hosted = hostedFunction(name, ground, functionArn, aws);
  const secretArn = await createSecret(ground, name, user);

  return {
    name,
    secretArn,
    async prepare() {
      if (name !== 'rekey' || strategy !== 'user-pair') return;
      // By an order to the function itself, as a person does it.
      host = await startFunctionHost(hosted);
      await host.invoke({ createPeer: secretArn }).finally(() => host?.end());
    },
    async start() {
      host = await startFunctionHost(hosted);
      return host;
    },
    async rotate() {
      steps = {};
      await account.rotate(secretArn, functionArn);
      return steps;
    },
    async end() {
      await host?.end();
      host = undefined;
    },
  };
}

/** What there is before the first rotation: a user in a secret, and for the floor, which creates none, its twin. */
async function createSecret(ground: Ground, name: ContenderName, user: string): Promise<string> {
  const { server, account, databasePort, strategy, course } = ground;
  const twin = takesTurns(strategy) && (name === 'bare' || name === 'promised');
  // `ssl: true` is the kindest to AWS's functions: without it each login that is refused is tried again in plaintext.
  const value = { ...server.secretKeys, host: 'localhost', port: databasePort, ssl: true };
  const secretName = `${user}/database`;
  const masterarn =
    course.acting === 'admin' || strategy === 'user-pair'
      ? await account.createSecret(`${user}/admin`, [{ ...value, ...server.admin }], { 'rekey:admin-for': secretName })
      : undefined;
  const versions = [];
  for (const username of twin ? [`${user}_clone`, user] : [user]) {
    const login = { username, password: randomBytes(12).toString('hex') };
    await server.createUser(login);
    versions.push({ ...value, ...login, ...(masterarn && { masterarn }) });
  }
  return account.createSecret(secretName, versions, { 'rekey:strategy': strategy });
}

const takesTurns = (strategy: StrategyName) => strategy === 'alternating-users' || strategy === 'user-pair';

function hostedFunction(name: ContenderName, ground: Ground, functionArn: string, aws?: AwsFunctions): HostedFunction {
  const { engine, strategy, course, server, account, endpoint, bundle } = ground;
  const environment = { ...account.environment(endpoint), FUNCTION_ARN: functionArn };
  switch (name) {
    case 'rekey':
      return nodeFunction(bundle, {
        ...environment,
        [VARIABLES.eventBus]: EVENT_BUS,
        [VARIABLES.databaseCaFile]: server.caFile,
        REKEY_ALLOW_LOOPBACK: 'true',
      });
    case 'aws':
      if (!aws || course.aws === undefined) throw new Error(`AWS has no function for ${engine.name}, ${strategy}`);
      return awsFunction(join(aws.folder, course.aws), aws.python, server.caFile, environment);
    case 'bare':
    case 'promised':
      return nodeFunction(FLOOR_HANDLER, {
        ...environment,
        FLOOR: name,
        STRATEGY: strategy,
        ACTING: course.acting,
        RIGHTS_SEEN_BY: engine.rightsSeenBy,
        DRIVER: engine.floor,
        DATABASE_CA_FILE: server.caFile,
      });
  }
}
