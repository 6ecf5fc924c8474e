import { type EngineName, ROTATION } from './wiring.ts';

/**
 * What differs between one deployment of Rekey and another: one file per environment under `environments/`, chosen by
 * `-c env=<name>`. Checked as a whole at synth, so that a slip shows before anything is deployed.
 */
export interface Environment {
  /** Part of every deployed name: `rekey-<name>-sync`. Lower-case letters, digits and hyphens. */
  readonly name: string;
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** The secrets whose credentials Rekey rotates. None: Rekey only syncs. */
  readonly rotated: readonly RotatedSecret[];
  /** The EKS clusters whose workloads Rekey rolls. None: Rekey only rotates. */
  readonly clusters: readonly EksCluster[];
  /** Where the functions run, when databases or Kubernetes APIs are private. @default outside any VPC */
  readonly network?: Network;
  /** PEM file with the roots of the databases, from the project's root. @default the RDS roots in Lambda's image */
  readonly databaseCaFile?: string;
  /** Rekey logs in only to hosts whose name ends so, e.g. `.eu-west-1.rds.amazonaws.com`. @default any host */
  readonly databaseHosts?: readonly string[];
  /** Who hears of failures and of what was done. Each address confirms the subscription once. */
  readonly emails: readonly string[];
  readonly logLevel: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  readonly logRetentionDays: LogRetentionDays;
  /**
   * Set each function's own share of the account's concurrency apart. An account with the lowest quota (10 at a time)
   * cannot: false there.
   */
  readonly reserveConcurrency: boolean;
}

export interface RotatedSecret {
  /** Complete, with the six characters at the end: policies and encryption contexts name exactly this secret. */
  readonly arn: string;
  readonly engine: EngineName;
  /** When Secrets Manager starts a rotation: `cron(0 H D M W *)`, UTC. */
  readonly schedule: string;
  /** Length of the window that opens then: `1h` … `24h`. */
  readonly window: string;
  /** The administrator's secret, the one that `masterarn` names. @default the user changes its own password */
  readonly adminArn?: string;
  /**
   * Its tag `rekey:strategy` says `user-pair`: retire may then store the next login of the second user with it.
   * @default false
   */
  readonly userPair?: boolean;
  /**
   * RDS instances and clusters that Rekey may ask RDS about, by complete ARN. Needed where RDS made the administrator's
   * secret, or where the two secrets name different endpoints of one server: the cluster, or the instance with its
   * source, and the member or replica that this secret names. @default RDS is not asked
   */
  readonly databaseArns?: readonly string[];
  /** Customer keys that encrypt this secret and the administrator's. @default aws/secretsmanager, which needs no right */
  readonly kmsKeyArns?: readonly string[];
}

export interface EksCluster {
  readonly name: string;
  readonly region: string;
  /**
   * Create the access entries that let Rekey in. Only possible where the cluster is in this account and Region; else
   * create them by hand (docs/permissions.md).
   */
  readonly createAccessEntries: boolean;
  /**
   * The cluster's security group, when its API is private: it gets a rule that lets sync and sweep in on port 443.
   * Needs `network`. @default the API is reached by its public endpoint, or the rule is there already
   */
  readonly securityGroupId?: string;
}

export interface Network {
  readonly vpcId: string;
  readonly availabilityZones: readonly string[];
  /** Private subnets, one per zone in the same order, with a way to AWS's APIs (NAT or VPC endpoints). */
  readonly subnetIds: readonly string[];
  /** Where the databases are: each security group gets a rule that lets Rekey in on this port. */
  readonly databases: readonly { readonly securityGroupId: string; readonly port: number }[];
}

/** The periods that CloudWatch Logs accepts, from a month on. */
export const LOG_RETENTION_DAYS = [
  30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
] as const;
export type LogRetentionDays = (typeof LOG_RETENTION_DAYS)[number];

/** @throws Error that lists everything that is wrong with it */
export function checked(environment: Environment): Environment {
  const faults = [...faultsOf(environment)];
  if (faults.length === 0) return environment;
  throw new Error(`environment "${environment.name}" is not right:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
}

function* faultsOf(environment: Environment): Iterable<string> {
  const { name, account, region, rotated, clusters, emails } = environment;

  if (!/^[a-z][a-z0-9-]{0,19}$/.test(name))
    yield `name: "${name}" must be 1 to 20 lower-case letters, digits and hyphens, a letter first`;
  if (!/^\d{12}$/.test(account)) yield `account: "${account}" is not twelve digits`;
  if (!isRegion(region)) yield `region: "${region}" is not a Region such as eu-west-1`;
  if (rotated.length === 0 && clusters.length === 0)
    yield 'rotated, clusters: both are empty, so there is nothing to do';

  for (const [index, secret] of rotated.entries()) yield* faultsOfSecret(secret, `rotated[${index}]`, environment);
  for (const twice of repeated(rotated.map(({ arn }) => arn))) yield `rotated: ${twice} is there twice`;

  for (const [index, cluster] of clusters.entries()) {
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(cluster.name))
      yield `clusters[${index}].name: "${cluster.name}" is not the name of an EKS cluster`;
    if (!isRegion(cluster.region)) yield `clusters[${index}].region: "${cluster.region}" is not a Region`;
    if (cluster.createAccessEntries && cluster.region !== region)
      yield `clusters[${index}].createAccessEntries: the cluster is in ${cluster.region}, this stack in ${region}`;
    if (cluster.securityGroupId !== undefined) {
      if (!SECURITY_GROUP.test(cluster.securityGroupId))
        yield `clusters[${index}].securityGroupId: "${cluster.securityGroupId}" is not a security group's id`;
      if (environment.network === undefined)
        yield `clusters[${index}].securityGroupId: only a function in a VPC (network) can be let in`;
    }
  }
  // Events and proofs name a cluster by its name alone.
  for (const twice of repeated(clusters.map((cluster) => cluster.name)))
    yield `clusters: ${twice} is there twice; clusters of one name in two Regions need an environment each`;

  for (const suffix of environment.databaseHosts ?? [])
    if (!/^(\.[a-z0-9-]+)+$/.test(suffix))
      yield `databaseHosts: "${suffix}" is not the end of a host name, such as .eu-west-1.rds.amazonaws.com`;
  for (const email of emails) if (!/^[^\s@]+@[^\s@]+$/.test(email)) yield `emails: "${email}" is not an address`;
  if (environment.network !== undefined) yield* faultsOfNetwork(environment.network);
  if (environment.network?.databases.length === 0 && rotated.length > 0)
    yield 'network.databases: without one, rotation cannot reach a database';
}

function* faultsOfSecret(secret: RotatedSecret, where: string, environment: Environment): Iterable<string> {
  yield* faultsOfArn(secret.arn, SECRET_ARN, `${where}.arn`, environment);
  if (!Object.hasOwn(ROTATION, secret.engine))
    yield `${where}.engine: "${secret.engine}" must be one of ${Object.keys(ROTATION).join(', ')}`;
  if (secret.adminArn !== undefined) yield* faultsOfArn(secret.adminArn, SECRET_ARN, `${where}.adminArn`, environment);
  if (secret.adminArn === secret.arn) yield `${where}.adminArn: a secret cannot be its own administrator`;
  for (const database of secret.databaseArns ?? [])
    yield* faultsOfArn(database, DATABASE_ARN, `${where}.databaseArns`, environment);
  if (secret.databaseArns !== undefined && secret.adminArn === undefined)
    yield `${where}.databaseArns: RDS is asked only about an administrator (adminArn)`;
  for (const key of secret.kmsKeyArns ?? []) yield* faultsOfArn(key, KEY_ARN, `${where}.kmsKeyArns`, environment);
  // Secrets Manager's own rules for RotationRules. rate() would do as well, but may still fire on the old date after
  // it was changed.
  if (!/^cron\(0 \S+ \S+ \S+ \S+ \*\)$/.test(secret.schedule))
    yield `${where}.schedule: "${secret.schedule}" must read cron(0 hour day month weekday *), UTC`;
  const hours = /^(\d{1,2})h$/.exec(secret.window)?.[1];
  if (hours === undefined || Number(hours) < 1 || Number(hours) > 24)
    yield `${where}.window: "${secret.window}" must read 1h to 24h`;
}

function* faultsOfNetwork(network: Network): Iterable<string> {
  if (!/^vpc-[0-9a-f]+$/.test(network.vpcId)) yield `network.vpcId: "${network.vpcId}" is not a VPC's id`;
  if (network.subnetIds.length === 0) yield 'network.subnetIds: at least one is needed';
  if (network.subnetIds.length !== network.availabilityZones.length)
    yield 'network.subnetIds: there must be one per zone in network.availabilityZones';
  for (const id of network.subnetIds)
    if (!/^subnet-[0-9a-f]+$/.test(id)) yield `network.subnetIds: "${id}" is not a subnet's id`;
  for (const [index, { securityGroupId, port }] of network.databases.entries()) {
    if (!SECURITY_GROUP.test(securityGroupId))
      yield `network.databases[${index}].securityGroupId: "${securityGroupId}" is not a security group's id`;
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      yield `network.databases[${index}].port: ${port} is not a port`;
  }
}

const SECRET_ARN =
  /^arn:aws[a-z-]*:secretsmanager:(?<region>[^:]+):(?<account>[^:]+):secret:[\w/+=.@!-]+-[A-Za-z0-9]{6}$/;
const DATABASE_ARN = /^arn:aws[a-z-]*:rds:(?<region>[^:]+):(?<account>[^:]+):(db|cluster):[a-z][a-z0-9-]*$/;
const KEY_ARN = /^arn:aws[a-z-]*:kms:(?<region>[^:]+):(?<account>[^:]+):key\/[\w-]+$/;

function* faultsOfArn(arn: string, shape: RegExp, where: string, { account, region }: Environment): Iterable<string> {
  const parts = shape.exec(arn)?.groups;
  if (parts === undefined) yield `${where}: "${arn}" is not the complete ARN`;
  // A secret of another account needs a resource policy there and RotationToken here: not for this first cut to grant.
  else if (parts['account'] !== account || parts['region'] !== region)
    yield `${where}: "${arn}" is not in account ${account} and Region ${region}`;
}

const SECURITY_GROUP = /^sg-[0-9a-f]+$/;

const isRegion = (text: string) => /^[a-z]{2}(-[a-z]+)+-\d$/.test(text);

const repeated = (values: readonly string[]) => new Set(values.filter((value, index) => values.indexOf(value) < index));
