import { beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { administratorOf } from '../../../../shared/rotation/administrator.ts';
import type { Rotation } from '../../../../shared/rotation/strategy.ts';
import { parseDatabaseSecret } from '../../../../shared/secrets/database-secret.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { located } from '../secrets/located.ts';
import { createRig, type Rig, refusalOf } from './rig.ts';

const REGION = 'eu-central-1';
const ACCOUNT = '123456789012';
const host = (name: string) => `${name}.${REGION}.rds.amazonaws.com`;
const arnOf = (kind: string, id: string, account = ACCOUNT, region = REGION) =>
  `arn:aws:rds:${region}:${account}:${kind}:${id}`;
const INSTANCE_TAG = 'aws:rds:primaryDBInstanceArn';
const CLUSTER_TAG = 'aws:rds:primaryDBClusterArn';
const BARE = { username: 'postgres', password: 'hunter2' };
const WRITER = host('fleet.cluster-abc');
const READER = host('fleet.cluster-ro-abc');

let rig: Rig;

beforeEach(() => {
  rig = createRig();
  const instance = (id: string) => ({ kind: 'instance', id }) as const;
  const cluster = { kind: 'cluster', id: 'fleet' } as const;
  const port = 5432;
  const add = (id: string, engine: string, partOf?: typeof cluster | ReturnType<typeof instance>) =>
    rig.topology.add(instance(id), {
      arn: arnOf('db', id),
      engine,
      endpoints: [{ host: host(`${id}.abc`), port }],
      partOf,
    });
  rig.topology.add(cluster, {
    arn: arnOf('cluster', 'fleet'),
    engine: 'aurora-postgresql',
    endpoints: [
      { host: WRITER, port },
      { host: READER, port },
    ],
    partOf: undefined,
  });
  add('member', 'aurora-postgresql', cluster);
  add('orders', 'postgres');
  add('replica', 'postgres', instance('orders'));
  add('shop', 'mysql');
  add('other', 'postgres');
});

interface Estate {
  readonly app: { readonly host: string; readonly [key: string]: unknown };
  readonly admin: object;
  readonly tags?: Record<string, string>;
}

function createSecrets({ app, admin, tags = {} }: Estate) {
  const adminArn = rig.secrets.create('rds!db-1a2b', JSON.stringify(admin), {
    // Where RDS made the secret, its own tag vouches for it.
    ...('host' in admin && { 'rekey:admin-for': 'app/db' }),
    ...tags,
  });
  const appArn = rig.secrets.create(
    'app/db',
    JSON.stringify({
      engine: 'postgres',
      username: 'app',
      password: 'p',
      dbname: 'sales',
      masterarn: adminArn,
      ...app,
    }),
  );
  return { adminArn, appArn };
}

async function administratorFor(estate: Estate, over: Partial<Rotation> = {}) {
  const { appArn } = createSecrets(estate);
  const { rules, hosts, store } = rig.deps;
  const value = await store.readStage(appArn, 'AWSCURRENT');
  const options = DEFAULT_OPTIONS;
  const parsed = parseDatabaseSecret(value?.value ?? new SecretValue(''), { what: 'app', rules, hosts, options });
  const { login } = await administratorOf({
    ...rig.deps,
    secretArn: appArn,
    secretName: 'app/db',
    current: located(parsed),
    currentVersion: value?.versionId ?? '',
    stages: new Map(),
    options,
    deadline: deadlineIn(30_000, systemClock),
    ...over,
  });
  return login;
}

async function expectRefused(estate: Estate, code: string, says: string | RegExp) {
  const { appArn } = createSecrets(estate);
  const token = rig.secrets.beginRotation(appArn);
  const before = await rig.secrets.store.readStage(appArn, 'AWSCURRENT');
  const error = await refusalOf(rig, appArn, token);
  expect(error).toMatchObject({ code, message: expect.stringMatching(says) });
  expect(String(error)).not.toContain('hunter2');
  expect(await rig.secrets.store.readStage(appArn, 'AWSCURRENT')).toEqual(before);
}

describe('an administrator whose secret RDS made', () => {
  test.each([
    ['an instance', host('orders.abc'), { [INSTANCE_TAG]: arnOf('db', 'orders') }, host('orders.abc')],
    ['a cluster, at its writer', WRITER, { [CLUSTER_TAG]: arnOf('cluster', 'fleet') }, WRITER],
    ['a cluster, at its reader', READER, { [CLUSTER_TAG]: arnOf('cluster', 'fleet') }, WRITER],
    ['a cluster, at a member', host('member.abc'), { [CLUSTER_TAG]: arnOf('cluster', 'fleet') }, WRITER],
    ['an instance, at its replica', host('replica.abc'), { [INSTANCE_TAG]: arnOf('db', 'orders') }, host('orders.abc')],
  ])('works at the writer of %s, in the database of the application', async (_what, at, tags, writer) => {
    const admin = await administratorFor({ app: { host: at }, admin: BARE, tags });
    expect({ ...admin, password: admin.password.expose() }).toEqual({
      ...BARE,
      host: writer,
      port: 5432,
      database: 'sales',
    });
  });

  test('is known by the tag in lower case as well', async () => {
    const tags = { [INSTANCE_TAG.toLowerCase()]: arnOf('db', 'orders') };
    expect(await administratorFor({ app: { host: host('orders.abc') }, admin: BARE, tags })).toMatchObject({
      host: host('orders.abc'),
    });
  });

  test.each<[what: string, tags: Record<string, string>, code: string, says: string | RegExp]>([
    ['35 without a tag', {}, 'ADMIN_SECRET_INVALID', 'no tag of RDS'],
    ['35 of an instance that is gone', { [INSTANCE_TAG]: arnOf('db', 'gone') }, 'RDS_DATABASE_NOT_FOUND', 'db:gone'],
    [
      '35 of a cluster of another account',
      { [CLUSTER_TAG]: arnOf('cluster', 'fleet', '210987654321') },
      'ADMIN_SECRET_INVALID',
      'another account or Region',
    ],
    [
      '35 of an instance in another Region',
      { [INSTANCE_TAG]: arnOf('db', 'orders', ACCOUNT, 'us-east-1') },
      'ADMIN_SECRET_INVALID',
      'another account or Region',
    ],
    [
      '35 of what is no database',
      { [INSTANCE_TAG]: arnOf('snapshot', 'orders') },
      'ADMIN_SECRET_INVALID',
      'neither an instance nor a cluster',
    ],
    ['36 of another server', { [INSTANCE_TAG]: arnOf('db', 'other') }, 'ADMIN_SECRET_INVALID', /another one/],
  ])('%s is refused before any connection, and AWSCURRENT stays', async (_what, tags, code, says) => {
    await expectRefused({ app: { host: host('orders.abc') }, admin: BARE, tags }, code, says);
  });

  test('36 whose engine differs is refused', async () => {
    const tags = { [INSTANCE_TAG]: arnOf('db', 'shop') };
    await expectRefused(
      { app: { host: host('shop.abc') }, admin: BARE, tags },
      'ADMIN_SECRET_INVALID',
      'engine of .*db:shop is "mysql"',
    );
  });

  test('36 at another port than the application is refused', async () => {
    const tags = { [INSTANCE_TAG]: arnOf('db', 'orders') };
    await expectRefused(
      { app: { host: host('orders.abc'), port: 5433 }, admin: BARE, tags },
      'ADMIN_SECRET_INVALID',
      'another one',
    );
  });

  test.each([
    ['a user that the platform keeps', { ...BARE, username: 'rdsadmin' }],
    ['an empty password', { username: 'postgres', password: '' }],
    ['a user name that cannot be seen', { ...BARE, username: 'a\u202eb' }],
  ])('with %s is refused', async (_what, admin) => {
    const tags = { [INSTANCE_TAG]: arnOf('db', 'orders') };
    await expectRefused({ app: { host: host('orders.abc') }, admin, tags }, 'SECRET_VALUE_INVALID', 'AWSCURRENT of');
  });

  test('41 that is the user of the application itself is refused', async () => {
    const tags = { [INSTANCE_TAG]: arnOf('db', 'orders') };
    await expectRefused(
      { app: { host: host('orders.abc'), username: 'postgres' }, admin: BARE, tags },
      'ADMIN_SECRET_INVALID',
      'take turns',
    );
  });

  test('works nowhere that the configuration does not allow, even if RDS says so', async () => {
    const refused = administratorFor(
      { app: { host: host('replica.abc') }, admin: BARE, tags: { [INSTANCE_TAG]: arnOf('db', 'orders') } },
      { hosts: { allowLoopback: false, allowedSuffixes: ['.replicas.example'], authorities: new Map() } },
    );
    await expect(refused).rejects.toMatchObject({ code: 'HOST_NOT_ALLOWED' });
  });

  test('whose tag cannot be followed is named with it', async () => {
    const tags = { [INSTANCE_TAG]: arnOf('db', 'orders'), 'rekey:ca': 'nowhere' };
    await expectRefused(
      { app: { host: host('orders.abc') }, admin: BARE, tags },
      'TAG_INVALID',
      /of arn:\S+:rds!db-1a2b/,
    );
  });

  test('waits for a better moment when RDS cannot be asked', async () => {
    rig.topology.failure = new RekeyError('RDS_UNAVAILABLE', 'throttled');
    const tags = { [INSTANCE_TAG]: arnOf('db', 'orders') };
    await expectRefused({ app: { host: host('orders.abc') }, admin: BARE, tags }, 'RDS_UNAVAILABLE', 'throttled');
  });
});

describe('an administrator whose secret names a host', () => {
  const adminAt = (name: string) => ({ engine: 'postgres', host: name, ...BARE });

  test('that is the application’s works there, and RDS is not asked', async () => {
    const at = host('orders.abc');
    expect(await administratorFor({ app: { host: at }, admin: adminAt(at) })).toMatchObject({ host: at });
    expect(rig.topology.asked).toEqual([]);
  });

  test.each([
    ['writer', 'reader', WRITER, READER, WRITER],
    ['reader', 'writer', READER, WRITER, WRITER],
    ['member', 'reader', host('member.abc'), READER, WRITER],
    ['source', 'replica', host('orders.abc'), host('replica.abc'), host('orders.abc')],
  ])('of the %s works at the writer for an application at the %s', async (_its, _theirs, admin, app, writer) => {
    expect(await administratorFor({ app: { host: app }, admin: adminAt(admin) })).toMatchObject({ host: writer });
  });

  test.each([
    ['rekey:ca', 'nowhere', 'TAG_INVALID'],
    ['rekey:readers', '169.254.169.254', 'HOST_NOT_ALLOWED'],
  ])('whose tag %s cannot be followed is named with it', async (tag, value, code) => {
    const at = host('orders.abc');
    const estate = { app: { host: at }, admin: adminAt(at), tags: { [tag]: value } };
    await expectRefused(estate, code, /of arn:\S+:rds!db-1a2b/);
  });

  test('36 of another server of RDS is refused', async () => {
    await expectRefused(
      { app: { host: host('orders.abc') }, admin: adminAt(host('other.abc')) },
      'ADMIN_SECRET_INVALID',
      'another one',
    );
  });

  test('36 elsewhere is refused, and RDS is not asked about hosts that are not its own', async () => {
    await expectRefused(
      { app: { host: 'evil.example' }, admin: adminAt('db.example') },
      'ADMIN_SECRET_INVALID',
      'host',
    );
    expect(rig.topology.asked).toEqual([]);
  });

  test('36 is never sent to the host of the application, though its name reads like the server’s', async () => {
    await expectRefused(
      { app: { host: host('orders.evil') }, admin: adminAt(host('orders.abc')) },
      'ADMIN_SECRET_INVALID',
      'another one',
    );
  });
});
