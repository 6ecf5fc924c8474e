import { expect, test } from '@jest/globals';
import { isRdsProxy } from '../../../../shared/secrets/database-host.ts';
import { createRig, refusalOf, snapshotOf } from './rig.ts';

const PROXY = 'orders.proxy-cpc4a5sexample.eu-central-1.rds.amazonaws.com';
const DATABASE = 'orders.cpc4a5sexample.eu-central-1.rds.amazonaws.com';

test.each([PROXY, `reports.endpoint.${PROXY.slice('orders.'.length)}`, `${PROXY}.cn`, PROXY.toUpperCase()])(
  '%s is an endpoint of RDS Proxy',
  (host) => {
    expect(isRdsProxy(host)).toBe(true);
  },
);

test.each([
  DATABASE,
  'proxy-orders.cpc4a5sexample.eu-central-1.rds.amazonaws.com',
  'orders.cluster-cpc4a5sexample.eu-central-1.rds.amazonaws.com',
  'orders.proxy-of-ours.example',
])('%s is none', (host) => {
  expect(isRdsProxy(host)).toBe(false);
});

const secret = (host: string) =>
  JSON.stringify({ engine: 'postgres', host, username: 'app', password: 'hunter2', dbname: 'app' });

test.each<[string, string, Record<string, string>]>([
  ['the secret names', PROXY, {}],
  ['the tag rekey:database-host names', DATABASE, { 'rekey:database-host': PROXY }],
  ['the tag rekey:readers names', DATABASE, { 'rekey:readers': PROXY }],
])('66: an RDS Proxy that %s is refused before anything is stored or connected to', async (_, host, tags) => {
  const rig = createRig();
  const arn = rig.secrets.create('app/db', secret(host), tags);
  const token = rig.secrets.beginRotation(arn);
  const before = snapshotOf(rig.secrets, arn);

  expect(await refusalOf(rig, arn, token)).toMatchObject({
    code: 'HOST_NOT_ALLOWED',
    message: expect.stringContaining('RDS Proxy'),
    action: expect.stringContaining('rekey:database-host'),
  });

  expect(snapshotOf(rig.secrets, arn)).toEqual(before);
});

test('66: a secret that names an RDS Proxy begins to rotate where the tag names the database itself', async () => {
  const rig = createRig();
  const arn = rig.secrets.create('app/db', secret(PROXY), { 'rekey:database-host': DATABASE });
  const token = rig.secrets.beginRotation(arn);

  expect(await rig.run('createSecret', arn, token)).toEqual({ kind: 'created' });

  const pending = await rig.secrets.store.read(arn, token);
  expect(JSON.parse(pending?.value.expose() ?? '')).toMatchObject({ host: PROXY, username: 'app' });
});
