import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Clock, systemClock } from '../../../shared/operations/clock.ts';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { eventually } from '../../sandbox/eventually.ts';
import type { PostgresServer } from '../../sandbox/postgres.ts';
import { startTcpProxy } from '../../sandbox/tcp-proxy.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';

/** A primary and a streaming replica where applications read. The replica is held back as replication lag does it. */

type Server = PostgresServer & RealServer;

const STRATEGIES = ['single-user', 'alternating-users', 'user-pair'] as const;
/** What a lagging replica shows is the password before, so what it refuses is a wrong one. */
const BEHIND = { code: 'PENDING_REFUSED', retryable: true, action: expect.stringContaining('lag') };

let primary: Server;
let replica: Server;

beforeAll(async () => {
  primary = await startRealPostgres(18);
  replica = await startRealPostgres(18, { replicaOf: { primary, port: primary.port } });
});
afterAll(async () => {
  await replica?.stop();
  await primary?.stop();
});

async function ask(server: Server, sql: string): Promise<unknown> {
  const client = await server.connect(server.superuser);
  const { rows } = await client.query(`SELECT ${sql} AS answer`).finally(() => client.end());
  return rows[0]?.answer;
}

async function fallBehind(): Promise<void> {
  await catchUp();
  await ask(replica, 'pg_wal_replay_pause()');
  await eventually('replay pauses', async () => (await ask(replica, 'pg_get_wal_replay_pause_state()')) === 'paused');
}

async function catchUp(): Promise<void> {
  await ask(replica, 'pg_wal_replay_resume()');
  // Written to the log after all that is to be waited for, and sent at once.
  await primary.run('SET synchronous_commit = on; SELECT pg_logical_emit_message(true, current_user, now()::text)');
  const lsn = await ask(primary, 'pg_current_wal_flush_lsn()');
  await eventually(
    'the replica has caught up',
    async () => (await ask(replica, `pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn`)) === true,
  );
}

/** Time passes when Rekey waits, and no other way. At each wait, `meanwhile` happens. */
function waitingClock(meanwhile: (wait: number) => Promise<void> = async () => {}) {
  const waits: number[] = [];
  const startedAtMs = Date.now();
  const now = () => startedAtMs + waits.reduce((sum, ms) => sum + ms, 0);
  const clock: Clock = {
    ...systemClock,
    now,
    sleep: async (milliseconds) => {
      waits.push(milliseconds);
      await meanwhile(waits.length);
    },
  };
  return { clock, waits };
}

const readersTag = () => ({ 'rekey:readers': `localhost:${replica.port}` });

/** Up to testSecret, while the reader is behind. */
async function setWhileBehind(application: Application): Promise<string> {
  await fallBehind();
  const token = application.beginRotation();
  await application.run('createSecret', token);
  await application.run('setSecret', token);
  return token;
}

/** By its own log: how often the reader refused this user since `from`. */
const refusalsAtReader = (username: string, from: number) =>
  replica.log().slice(from).split(`password authentication failed for user "${username}"`).length - 1;

describe.each(STRATEGIES)('a reader that is behind, with %s', (strategy) => {
  test('is waited for, and AWSCURRENT moves to what works there', async () => {
    const application = await createApplication(primary, strategy, 'app', { tags: readersTag() });
    const token = await setWhileBehind(application);
    const { clock, waits } = waitingClock(async (wait) => {
      if (wait === 2) await catchUp();
    });
    const from = replica.log().length;

    expect(await application.run('testSecret', token, { clock })).toEqual({ kind: 'tested' });
    expect(await application.run('finishSecret', token)).toEqual({ kind: 'promoted' });

    expect(waits).toEqual([2_000, 4_000]);
    const account = await application.login(CURRENT);
    expect(account && (await replica.canRead(account))).toBe(true);
    expect(refusalsAtReader(account?.username ?? '', from)).toBe(2);
  });

  test('and stays so: is given up within the time there is, AWSCURRENT stays, and the next delivery ends well', async () => {
    const application = await createApplication(primary, strategy, 'app', { tags: readersTag() });
    const token = await setWhileBehind(application);
    const before = await application.login(CURRENT);
    const { clock, waits } = waitingClock();

    await expect(application.run('testSecret', token, { clock })).rejects.toMatchObject({
      ...BEHIND,
      message: expect.stringContaining('localhost, which only replicates'),
    });

    // One more wait would outlast the 30 s of the function.
    expect(waits).toEqual([2_000, 4_000, 8_000]);
    expect(await application.login(CURRENT)).toEqual(before);

    await catchUp();
    const outcomes = [];
    for (const step of STEPS) outcomes.push((await application.run(step, token)).kind);
    expect(outcomes.slice(2)).toEqual(['tested', 'promoted']);
    expect(await application.works(CURRENT)).toBe(true);
  });
});

describe('an application whose own host is a reader', () => {
  /** Its administrator works at the writer, which RDS (in memory) vouches for. */
  async function createReadingApplication(): Promise<Application> {
    const atReader: RealServer = { ...primary, port: replica.port };
    await catchUp();
    const application = await createApplication(atReader, 'alternating-users');
    const { rig, adminArn } = application;
    const cluster = 'arn:aws:rds:eu-central-1:123456789012:cluster:fleet';
    const admin = rig.secrets.secret(adminArn);
    rig.secrets.put(adminArn, JSON.stringify(primary.admin));
    admin.owningService = 'rds';
    admin.tags.clear();
    admin.tags.set('aws:rds:primaryDBClusterArn', cluster);
    rig.topology.add(
      { kind: 'cluster', id: 'fleet' },
      {
        arn: cluster,
        engine: 'aurora-postgresql',
        endpoints: [primary.port, replica.port].map((port) => ({ host: 'localhost', port })),
        partOf: undefined,
      },
    );
    return application;
  }

  test('rotates by its writer, and waits for the reader', async () => {
    const application = await createReadingApplication();
    const token = await setWhileBehind(application);
    const { clock, waits } = waitingClock(() => catchUp());

    expect(await application.run('testSecret', token, { clock })).toEqual({ kind: 'tested' });
    expect(await application.run('finishSecret', token)).toEqual({ kind: 'promoted' });

    expect(waits).toEqual([2_000]);
    const account = await application.login(CURRENT);
    expect(account).toMatchObject({ username: `${application.username}_clone`, port: replica.port });
    expect(account && (await replica.canRead(account))).toBe(true);
  });

  test('keeps AWSCURRENT while the reader does not know its next user', async () => {
    const application = await createReadingApplication();
    const token = await setWhileBehind(application);
    const before = await application.login(CURRENT);

    await expect(application.run('testSecret', token, waitingClock())).rejects.toMatchObject(BEHIND);

    expect(await application.login(CURRENT)).toEqual(before);
    await catchUp();
    expect(await application.run('testSecret', token)).toEqual({ kind: 'tested' });
  });
});

test('a single user whose own host is a reader is refused there, and rotates once tags name the writer and the reader', async () => {
  const application = await createApplication({ ...primary, port: replica.port }, 'single-user');
  await catchUp();
  const token = application.beginRotation();
  await application.run('createSecret', token);
  await expect(application.run('setSecret', token, waitingClock())).rejects.toMatchObject({
    code: 'DATABASE_READ_ONLY',
    retryable: true,
    action: expect.stringContaining('rekey:database-host'),
  });

  const { tags } = application.rig.secrets.secret(application.arn);
  tags.set('rekey:database-host', `localhost:${primary.port}`);
  tags.set('rekey:readers', `localhost:${replica.port}`);
  const outcomes = [];
  for (const step of STEPS) outcomes.push((await application.run(step, token, waitingClock(catchUp))).kind);

  expect(outcomes).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
  const account = await application.login(CURRENT);
  expect(account).toMatchObject({ port: replica.port });
  expect(account && (await replica.canRead(account))).toBe(true);
});

test('a reader that cannot be reached is no reader that is behind: it is told at once', async () => {
  const gone = await startTcpProxy(replica.port);
  await gone.close();
  const tags = { 'rekey:readers': `localhost:${gone.port}` };
  const application = await createApplication(primary, 'single-user', 'app', { tags });
  const token = application.beginRotation();
  await application.run('createSecret', token);
  await application.run('setSecret', token);
  const { clock, waits } = waitingClock();

  await expect(application.run('testSecret', token, { clock })).rejects.toMatchObject({
    code: 'DATABASE_UNREACHABLE',
    retryable: true,
  });

  expect(waits).toEqual([]);
});

test('where there are readers, the sessions at which nobody sees from the writer, the previous user is left alone', async () => {
  await catchUp();
  const application = await createApplication(primary, 'alternating-users', 'app', { tags: readersTag() });
  const token = application.beginRotation();
  const { clock } = waitingClock(() => catchUp());
  for (const step of STEPS) await application.run(step, token, { clock });

  expect(await application.retire()).toEqual({ kind: 'leftAlone', why: expect.stringContaining('rekey:readers') });
});
