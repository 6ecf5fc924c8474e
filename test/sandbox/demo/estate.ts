import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { parseAllDocuments } from 'yaml';
import type { Installation } from '../environment.ts';
import { eventually } from '../eventually.ts';
import { createObjects } from '../kubernetes/create-objects.ts';
import type { ObjectInput } from '../kubernetes/objects.ts';
import type { DemoCluster } from './cluster.ts';
import type { LoginClients } from './login-clients.ts';
import type { Narrator } from './narrator.ts';
import { readyPods } from './observations.ts';

/** A small company's estate, running: two teams, four workloads that use secrets and one that does not. */
export interface Estate {
  readonly installation: Installation;
  readonly cluster: DemoCluster;
  readonly clients: LoginClients;
  readonly narrator: Narrator;
  readonly database: { readonly secretArn: string };
  readonly tutorial: { readonly secretArn: string };
}

/** Where the applications of "shop" find their credential. */
const DATABASE_FILE = 'database.json';
/** Of manifests.yaml. */
const PODS = 9;

export async function createEstate(
  installation: Installation,
  cluster: DemoCluster,
  clients: LoginClients,
  manifests: string,
  narrator: Narrator,
): Promise<Estate> {
  const { postgres, secretsManager } = installation;
  const appPassword = 'first-password-of-the-demo';
  await postgres.run('CREATE DATABASE shop');
  await postgres.run(`CREATE ROLE shop_admin LOGIN CREATEROLE PASSWORD 'admin-of-the-demo'`);
  await postgres.run(`SET ROLE shop_admin; CREATE ROLE shop LOGIN PASSWORD '${appPassword}' CONNECTION LIMIT 40`);
  await postgres.run(
    `ALTER DATABASE shop OWNER TO shop_admin;
     GRANT ALL ON SCHEMA public TO shop_admin WITH GRANT OPTION;
     SET ROLE shop_admin;
     CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
     GRANT SELECT, INSERT ON orders TO shop;`,
    'shop',
  );

  const create = async (name: string, value: object, tags: Record<string, string> = {}) => {
    const { ARN = '' } = await secretsManager.send(
      new CreateSecretCommand({
        Name: name,
        SecretString: JSON.stringify(value),
        Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
    return ARN;
  };
  const server = { engine: 'postgres', host: postgres.host, port: postgres.port, dbname: 'shop' };
  const masterarn = await create(
    'shop/admin',
    { ...server, username: 'shop_admin', password: 'admin-of-the-demo' },
    { 'rekey:admin-for': 'shop/' },
  );
  const database = await create(
    'shop/database',
    { ...server, username: 'shop', password: appPassword, masterarn },
    // Minutes in real life, seconds in a demo.
    { 'rekey:retire-after': '3s' },
  );
  const tutorial = await create('MySecret', { username: 'memeuser', password: 'hunter2' });
  narrator.say('secrets: shop/database (alternating users, masterarn shop/admin) and MySecret (no database behind it)');

  cluster.nodes.onContainerStarted(({ pod, files }) => {
    const mounted = files.get(`/mnt/database/${DATABASE_FILE}`);
    if (mounted !== undefined) clients.start(pod.uid, mounted);
  });
  cluster.nodes.onContainerStopped(({ pod }) => clients.stop(pod.uid));
  const documents = parseAllDocuments(manifests).map((document): ObjectInput => document.toJS());
  await createObjects(cluster.api, documents);
  const estate = {
    installation,
    cluster,
    clients,
    narrator,
    database: { secretArn: database },
    tutorial: { secretArn: tutorial },
  };
  await eventually('all pods ready', async () => (await readyPods(estate)).length === PODS);
  narrator.say(`${PODS} pods are ready; those of "shop" log in 5 times a second with what they mounted`);
  return estate;
}
