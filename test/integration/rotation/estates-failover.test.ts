import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import { CURRENT, PENDING } from '../../../shared/secrets/port.ts';
import { eventually } from '../../sandbox/eventually.ts';
import type { PostgresServer } from '../../sandbox/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';

/**
 * A primary and a streaming replica behind one address. Cut off from the primary, the replica is what a fail-over with
 * asynchronous replication, a blue/green switch or a restored snapshot leaves: a server that does not know what
 * Secrets Manager knows.
 */

type Server = PostgresServer & RealServer;

const STRATEGIES = ['single-user', 'alternating-users', 'user-pair'] as const;
type Strategy = (typeof STRATEGIES)[number];

let primary: Server;
/** What applications and Rekey connect to. */
let address: TcpProxy;
/** What answers there. */
let active: Server;

beforeAll(async () => {
  primary = await startRealPostgres(18);
  address = await startTcpProxy(primary.port);
});

afterAll(async () => {
  await address.close();
  await primary.stop();
});

async function createApp(strategy: Strategy): Promise<Application> {
  active = primary;
  address.leadTo(primary.port);
  const behindAddress: RealServer = {
    ...primary,
    port: address.port,
    canRead: (account) => active.canRead(account),
  };
  return createApplication(behindAddress, strategy, 'app', { masterarn: true });
}

/** Another server takes over that knows only what was done before it was cut off. */
async function standIn(): Promise<{
  cutOff(): Promise<void>;
  /** The address leads to it from now on. */
  takeTheName(): void;
  /** And it takes writes. */
  takeOver(): Promise<void>;
  stop(): Promise<void>;
}> {
  const link = await startTcpProxy(primary.port);
  const replica = await startRealPostgres(18, { replicaOf: { primary, port: link.port } }).catch(async (error) => {
    await link.close();
    throw error;
  });
  let linked = true;
  const cutOff = async () => {
    if (linked) await link.close();
    linked = false;
  };
  const takeTheName = () => {
    active = replica;
    address.leadTo(replica.port);
  };
  return {
    async cutOff() {
      const lsn = await ask(primary, 'SELECT pg_current_wal_flush_lsn() AS answer');
      const caughtUp = `SELECT pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn AS answer`;
      await eventually('the replica has caught up', async () => (await ask(replica, caughtUp)) === true);
      await cutOff();
    },
    takeTheName,
    async takeOver() {
      expect(await ask(replica, 'SELECT pg_promote() AS answer')).toBe(true);
      takeTheName();
    },
    async stop() {
      await cutOff();
      await replica.stop();
    },
  };
}

async function ask(server: Server, sql: string): Promise<unknown> {
  const client = await server.connect(server.superuser);
  const { rows } = await client.query(sql).finally(() => client.end());
  return rows[0]?.answer;
}

async function redeliver(application: Application, token: string): Promise<string[]> {
  const outcomes: string[] = [];
  for (const step of STEPS) outcomes.push((await application.run(step, token)).kind);
  return outcomes;
}

describe('65: a fail-over or a blue/green switchover between two steps', () => {
  describe.each(STRATEGIES)('%s', (strategy) => {
    test.each<[Step, Step]>([
      ['setSecret', 'testSecret'],
      ['testSecret', 'finishSecret'],
    ])('after %s: %s refuses what the new primary does not know, and all steps again heal it', async (last, next) => {
      const application = await createApp(strategy);
      const server = await standIn();
      try {
        const token = application.beginRotation();
        await application.run('createSecret', token);
        await server.cutOff();
        for (const step of STEPS.slice(1, STEPS.indexOf(last) + 1)) await application.run(step, token);
        await server.takeOver();

        await expect(application.run(next, token)).rejects.toMatchObject({ code: 'PENDING_REFUSED', retryable: true });
        expect(await application.works(CURRENT)).toBe(true);

        expect(await redeliver(application, token)).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
        expect(await application.works(CURRENT)).toBe(true);
      } finally {
        await server.stop();
      }
    });
  });
});

describe('65: a blue/green switchover to a server that still takes no writes', () => {
  test.each(STRATEGIES)(
    '%s: is told, AWSCURRENT works on, and all steps again end well once it does',
    async (strategy) => {
      const application = await createApp(strategy);
      const green = await standIn();
      try {
        const token = application.beginRotation();
        await application.run('createSecret', token);
        await green.cutOff();
        green.takeTheName();

        await expect(application.run('setSecret', token)).rejects.toMatchObject({
          code: 'DATABASE_READ_ONLY',
          retryable: true,
        });
        expect(await application.works(CURRENT)).toBe(true);

        await green.takeOver();
        expect(await redeliver(application, token)).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
        expect(await application.works(CURRENT)).toBe(true);
      } finally {
        await green.stop();
      }
    },
  );
});

describe('53: a server that was restored from yesterday, and knows no password of the secret', () => {
  test.each(STRATEGIES)('%s: is refused without the tag, healed with it, and people are told', async (strategy) => {
    const application = await createApp(strategy);
    await application.rotate();
    await application.rotate();
    const server = await standIn();
    try {
      await server.cutOff();
      await application.rotate();
      await application.rotate();
      await server.takeOver();
      expect(await application.works(CURRENT)).toBe(false);

      const token = application.beginRotation();
      await application.run('createSecret', token);
      await expect(application.run('setSecret', token)).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        action: expect.stringContaining('"admin-reset" to the tag rekey:accept'),
      });
      expect(await application.works(CURRENT)).toBe(false);

      application.rig.secrets.secret(application.arn).tags.set('rekey:accept', 'admin-reset');
      const warnings: string[] = [];
      const log = { ...application.rig.deps.log, warn: (message: string) => warnings.push(message) };
      await application.run('createSecret', token);
      await application.run('setSecret', token, { log });
      await application.run('testSecret', token);
      await application.run('finishSecret', token);

      expect(await application.works(CURRENT)).toBe(true);
      expect(warnings).toContain('the administrator reset a password, as the tag rekey:accept allows');
      expect(application.rig.events).toContainEqual(
        expect.objectContaining({
          type: 'Action Needed',
          detail: expect.objectContaining({
            code: 'PASSWORD_RESET',
            versionId: token,
            // Of two users the current one is set right as well, and at once.
            stillWorks: expect.stringContaining(strategy === 'single-user' ? PENDING : CURRENT),
          }),
        }),
      );
      // And from then on as ever.
      application.rig.secrets.secret(application.arn).tags.delete('rekey:accept');
      expect(await application.rotate()).toEqual(['created', 'set', 'tested', 'promoted']);
    } finally {
      await server.stop();
    }
  });

  test('a single user that lost one rotation only is healed through AWSPREVIOUS, by nobody', async () => {
    const application = await createApp('single-user');
    const server = await standIn();
    try {
      await server.cutOff();
      await application.rotate();
      await server.takeOver();
      expect(await application.works(CURRENT)).toBe(false);

      expect(await application.rotate()).toEqual(['created', 'set', 'tested', 'promoted']);

      expect(await application.works(CURRENT)).toBe(true);
    } finally {
      await server.stop();
    }
  });
});
