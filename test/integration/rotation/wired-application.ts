import { randomBytes } from 'node:crypto';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { DatabaseEngine } from '../../../shared/engines/port.ts';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import type { RekeyEvent } from '../../../shared/operations/events.ts';
import { createPeer } from '../../../shared/rotation/create-peer.ts';
import type { Step } from '../../../shared/rotation/plan.ts';
import { type RotationDeps, runStep, type StepOutcome } from '../../../shared/rotation/steps.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { createSecretsManagerStore } from '../../../shared/secrets/secrets-manager.ts';
import { createMemoryTopology } from '../../contract/fakes/topology.ts';
import type { Version } from '../../sandbox/aws/secrets-manager/index.ts';
import { type RotationAccount, startRotationAccount } from '../../sandbox/rotation-account.ts';
import type { Account } from '../../sandbox/server-process.ts';
import type { RealServer } from './real-server.ts';

/** Who signs the calls of Rekey, so that they can be told from a person's. */
export const REKEY = 'rekey';

/** An application on a real server, whose secret is in the simulated Secrets Manager: over the wire, and rotated by it. */
export interface WiredApplication {
  readonly username: string;
  readonly arn: string;
  /** Every event that Rekey announced. */
  readonly events: readonly RekeyEvent[];
  versions(): readonly Version[];
  /** The version that the latest rotation made. */
  token(): string;
  /** What runs when Secrets Manager asks for a step, before or after Rekey did it. */
  meanwhile(when: 'before' | 'after', step: Step, act: (() => Promise<unknown>) | undefined): void;
  /**
   * A step that nobody asked for.
   * @param beforeChange holds it up just before the database is told of a password
   */
  run(step: Step, token: string, beforeChange?: () => Promise<unknown>): Promise<StepOutcome>;
  /** A whole rotation by Secrets Manager. @returns what the steps did, or the code of the refusal that ended it */
  rotate(): Promise<string[]>;
  login(stage: string): Account;
  works(stage: string): Promise<boolean>;
  createPeer(): ReturnType<typeof createPeer>;
  /** The administrator's secret names another address of the same server. */
  moveAdministrator(to: { readonly port: number }): Promise<unknown>;
}

export interface WiredAccount extends RotationAccount {
  createApplication(server: RealServer, strategy: StrategyName): Promise<WiredApplication>;
}

export async function startWiredAccount(): Promise<WiredAccount> {
  const account = await startRotationAccount('rekey');
  const rekey = new SecretsManagerClient({
    endpoint: account.endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: REKEY, secretAccessKey: 'x' },
    // One attempt: the SDK's own retries would hide the faults that Rekey has to live with.
    maxAttempts: 1,
  });
  let applications = 0;

  return {
    ...account,
    async close() {
      rekey.destroy();
      await account.close();
    },
    async createApplication(server, strategy) {
      applications += 1;
      const name = `app${applications}/database`;
      const first = { username: `wired${applications}`, password: randomBytes(12).toString('hex') };
      await server.createUser(first, strategy);
      const at = { ...server.secretKeys, host: server.host, port: server.port };
      const masterarn = await account.createSecret(`app${applications}/admin`, [{ ...at, ...server.admin }], {
        'rekey:admin-for': name,
      });
      const administered = strategy === 'alternating-users' || strategy === 'user-pair';
      const arn = await account.createSecret(name, [{ ...at, ...first, ...(administered && { masterarn }) }], {
        'rekey:strategy': strategy,
        ...server.tagsFor(strategy),
      });
      const events: RekeyEvent[] = [];
      const deps: RotationDeps = {
        ...server.rekey,
        store: createSecretsManagerStore(rekey),
        topology: createMemoryTopology(),
        hosts: { allowLoopback: true, allowedSuffixes: [], authorities: new Map() },
        announcer: { announce: async (event) => events.push(event) > 0 },
        log: { info: () => {}, warn: () => {} },
        // What is waited for never comes by itself here.
        clock: { ...clock, sleep: async () => {} },
        changedAt: new Map(),
      };
      const run: WiredApplication['run'] = (step, versionId, beforeChange) =>
        runStep(
          { step, secretArn: arn, versionId, rotationToken: undefined },
          beforeChange ? { ...deps, engine: heldUp(deps.engine, beforeChange) } : deps,
          deadlineIn(30_000, clock),
        );

      const acts = new Map<string, () => Promise<unknown>>();
      let outcomes: string[] = [];
      let latest = '';
      const rotationFunction = account.register(
        `rekey-${applications}`,
        async ({ Step: step, ClientRequestToken: token }) => {
          latest = token;
          await acts.get(`before ${step}`)?.();
          outcomes.push((await run(step, token)).kind);
          await acts.get(`after ${step}`)?.();
        },
      );

      const versions = () => account.inspect(arn).versions;
      const login = (stage: string): Account => {
        const value = versions().find(({ stages }) => stages.includes(stage))?.value;
        return JSON.parse(value && 'SecretString' in value ? value.SecretString : '{}');
      };
      const application: WiredApplication = {
        username: first.username,
        arn,
        events,
        versions,
        token: () => latest,
        meanwhile(when, step, act) {
          if (act) acts.set(`${when} ${step}`, act);
          else acts.delete(`${when} ${step}`);
        },
        run,
        async rotate() {
          outcomes = [];
          try {
            await account.rotate(arn, rotationFunction);
            return outcomes;
          } catch (error) {
            const [, code = 'ended'] = /: [a-zA-Z]+: ([A-Z_]+): /.exec(String(error)) ?? [];
            return [...outcomes, code];
          }
        },
        login,
        works: (stage) => server.canRead(login(stage)),
        createPeer: () => createPeer(arn, deps, deadlineIn(30_000, clock)),
        moveAdministrator: (to) =>
          account.client.send(
            new PutSecretValueCommand({
              SecretId: masterarn,
              SecretString: JSON.stringify({ ...at, ...to, ...server.admin }),
            }),
          ),
      };
      if (strategy === 'user-pair') await application.createPeer();
      return application;
    },
  };
}

const CHANGES = ['setPassword', 'prepareAlternate', 'changePeer', 'addPassword'];

/** The engine, each change of which begins once this is done. */
function heldUp(engine: DatabaseEngine, first: () => Promise<unknown>): DatabaseEngine {
  const hold = <Part extends object>(part: Part): Part =>
    Object.fromEntries(
      Object.entries(part).map(([key, value]) => {
        if (typeof value === 'object' && value !== null) return [key, hold(value)];
        if (!CHANGES.includes(key)) return [key, value];
        return [
          key,
          async (...args: unknown[]) => {
            await first();
            return value.apply(part, args);
          },
        ];
      }),
    ) as Part;
  return hold(engine);
}
