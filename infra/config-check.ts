import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Token } from 'aws-cdk-lib';
import { RegionInfo } from 'aws-cdk-lib/region-info';
import {
  type Databases,
  type EksCluster,
  ENDPOINT_SERVICES,
  type Environment,
  LOG_RETENTION_DAYS,
  type Network,
  type RekeyProps,
  type RotatedSecretProps,
  type SecretReference,
  type Told,
} from './config.ts';
import { faultOfSchedule } from './schedule.ts';
import { isTagged, nameOf } from './secret-reference.ts';
import { ROTATION, STRATEGIES, type StrategyName } from './wiring.ts';

/** A fault names the field, the value and what would be right. What CloudFormation fills in later is not looked at. */
type Faults = Iterable<string>;

/** @throws Error that lists everything that is wrong with it */
export function checked(environment: Environment): Environment {
  failOn(`environment "${environment.name}"`, faultsOfEnvironment(environment));
  return environment;
}

/** @throws Error that lists everything that is wrong with them */
export function checkedProps(props: RekeyProps, place: Home): RekeyProps {
  failOn(`Rekey "${props.name}"`, faultsOfProps(props, place));
  return props;
}

/** @throws Error that lists everything that is wrong with it */
export function checkedSecret(secret: RotatedSecretProps, { place, hasNetwork }: Around): RotatedSecretProps {
  failOn('RotatedSecret', faultsOfSecret(secret, '', { place, hasNetwork }));
  return secret;
}

/** Where the stack is deployed. */
interface Home {
  readonly account: string;
  readonly region: string;
}

/** Of a cluster. */
interface Whereabouts {
  readonly account?: string | undefined;
  readonly region: string;
}

interface Around {
  readonly place: Home;
  readonly hasNetwork: boolean;
}

function failOn(what: string, faults: Faults): void {
  const list = [...faults].map((fault) => `- ${fault}`);
  if (list.length > 0) throw new Error(`${what} is not right:\n${list.join('\n')}`);
}

function* faultsOfEnvironment(environment: Environment): Faults {
  const { account, region, rotated, clusters, network } = environment;
  if (!isAccount(account)) yield `account: "${account}" is not twelve digits`;
  if (!isRegion(region)) yield `region: "${region}" is not a Region that the CDK knows, such as eu-west-1`;
  if (rotated.length === 0 && clusters.length === 0)
    yield 'rotated, clusters: both are empty, so there is nothing to do; name a secret to rotate or a cluster to sync';
  yield* faultsOfProps(environment, { account, region });
  for (const [index, secret] of rotated.entries())
    yield* faultsOfSecret(secret, `rotated[${index}].`, {
      place: { account, region },
      hasNetwork: network !== undefined,
    });
  for (const twice of repeated(rotated.map(selectionOf)))
    yield `rotated: ${twice} is there twice, by name, ARN or tag; keep one of them`;
}

function* faultsOfProps(props: RekeyProps, home: Home): Faults {
  const { name, clusters, told, network, databases, kmsKeyArn, logRetentionDays, alarms, limits } = props;
  if (!isOpen(name) && !/^[a-z][a-z0-9-]{0,19}$/.test(name))
    yield `name: "${name}" must be 1 to 20 lower-case letters, digits and hyphens, a letter first`;
  for (const [index, cluster] of clusters.entries())
    yield* faultsOfCluster(cluster, `clusters[${index}]`, home, network !== undefined);
  // Events and proofs name a cluster by its name alone.
  for (const twice of repeated(clusters.map((cluster) => cluster.name)))
    yield `clusters: ${twice} is there twice; give one of them another name, and its own as eksName`;
  for (const twice of repeated(clusters.map((each) => `${each.account} ${each.region} ${each.eksName ?? each.name}`)))
    yield `clusters: ${twice.split(' ').at(-1)} is there twice, in one account and Region; keep one of them`;
  yield* faultsOfTold(told, home);
  if (network !== undefined) yield* faultsOfNetwork(network);
  yield* faultsOfDatabases(databases ?? {});
  if (kmsKeyArn !== undefined) yield* faultsOfArn(kmsKeyArn, KEY_ARN, 'kmsKeyArn', home);
  if (!(LOG_RETENTION_DAYS as readonly number[]).includes(logRetentionDays))
    yield `logRetentionDays: ${logRetentionDays} must be one of ${LOG_RETENTION_DAYS.join(', ')}`;
  const days = alarms === 'off' ? undefined : alarms.longestWithoutRotationDays;
  if (days !== undefined && !isWhole(days, 1, 1_000))
    yield `alarms.longestWithoutRotationDays: ${days} must be a whole number from 1 to 1000`;
  if (limits.rotations !== undefined && !isWhole(limits.rotations, 1, 1_000))
    yield `limits.rotations: ${limits.rotations} must be a whole number from 1 to 1000`;
  // Two is the least that Lambda accepts as the number of pollers of a queue.
  if (limits.syncs !== undefined && !isWhole(limits.syncs, 2, 1_000))
    yield `limits.syncs: ${limits.syncs} must be a whole number from 2 to 1000`;
}

function* faultsOfCluster(cluster: EksCluster, where: string, home: Home, hasNetwork: boolean): Faults {
  const { name, eksName = name, region, account, securityGroupId } = cluster;
  for (const [field, value] of [
    ['name', name],
    ['eksName', eksName],
  ] as const)
    if (!isOpen(value) && !/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(value)) {
      yield `${where}.${field}: "${value}" is not the name of an EKS cluster: letters, digits, hyphens and underscores`;
      break;
    }
  if (!isRegion(region)) yield `${where}.region: "${region}" is not a Region that the CDK knows, such as eu-west-1`;
  if (account !== undefined && !isAccount(account)) yield `${where}.account: "${account}" is not twelve digits`;
  if (securityGroupId === undefined) return;
  if (!isOpen(securityGroupId) && !SECURITY_GROUP.test(securityGroupId))
    yield `${where}.securityGroupId: "${securityGroupId}" is not a security group's id such as sg-0123456789abcdef0`;
  if (!hasNetwork)
    yield `${where}.securityGroupId: only a function in a VPC can be let in; set network, or leave it out`;
  if (isElsewhere({ account, region }, home))
    yield `${where}.securityGroupId: the cluster is in ${account ?? home.account} ${region}, this stack in ${home.account} ${home.region}; leave it out, and let the subnets of network in there`;
}

function* faultsOfTold({ emails = [], topicArns = [], busArn }: Told, home: Home): Faults {
  if (emails.length === 0 && topicArns.length === 0 && busArn === undefined)
    yield 'told: nobody would hear of a failure; name emails, topicArns or a busArn';
  for (const email of emails)
    if (!isOpen(email) && !/^[^\s@]+@[^\s@]+$/.test(email)) yield `told.emails: "${email}" is not an address`;
  for (const twice of repeated(emails)) yield `told.emails: ${twice} is there twice; keep one of them`;
  for (const arn of topicArns) yield* faultsOfArn(arn, TOPIC_ARN, 'told.topicArns', home);
  if (topicArns.length > 4)
    yield `told.topicArns: there are ${topicArns.length}, and a rule of EventBridge has five targets, one of them Rekey’s own topic; at most 4`;
  for (const twice of repeated(topicArns)) yield `told.topicArns: ${twice} is there twice; keep one of them`;
  if (busArn !== undefined && !isOpen(busArn) && !BUS_ARN.test(busArn))
    yield `told.busArn: "${busArn}" is not the ARN of an event bus`;
}

function* faultsOfSecret(secret: RotatedSecretProps, where: string, { place, hasNetwork }: Around): Faults {
  const { engine, strategy = 'auto', admin, databaseArns, kmsKeyArns = [], hostSecurityGroup } = secret;
  if (isTagged(secret)) {
    const { key, value } = secret.tag;
    if (!/^(?!aws:)[\w .:/=+@-]{1,128}$/.test(key) || !/^[\w .:/=+@-]{1,256}$/.test(value))
      yield `${where}tag: "${key}" = "${value}" is not a tag of yours: letters, digits, blanks and _.:/=+-@, not aws: first`;
    if ((secret as { schedule?: string }).schedule !== undefined)
      yield `${where}schedule: CloudFormation cannot set one for every secret with a tag; leave out schedule and window, and run aws secretsmanager rotate-secret --rotation-lambda-arn … for each`;
  } else {
    yield* faultsOfReference(secret, where, place);
    const fault = faultOfSchedule(secret.schedule, secret.window);
    if (fault !== undefined) yield `${where}${fault}`;
  }

  if (!Object.hasOwn(ROTATION, engine))
    yield `${where}engine: "${engine}" must be one of ${Object.keys(ROTATION).join(', ')}`;
  else if (!(STRATEGIES[engine] as readonly StrategyName[]).includes(strategy))
    yield `${where}strategy: "${strategy}" is not for ${engine}; right are ${STRATEGIES[engine].join(', ')}`;

  if (admin !== undefined) yield* faultsOfReference(admin, `${where}admin.`, place);
  if (admin !== undefined && !isTagged(secret) && sameSecret(admin, secret))
    yield `${where}admin: a secret cannot be its own administrator; name the one that masterarn names`;
  if (admin === undefined && strategy === 'alternating-users')
    yield `${where}admin: alternating-users needs an administrator; name the secret that masterarn names`;
  for (const database of databaseArns ?? []) yield* faultsOfArn(database, DATABASE_ARN, `${where}databaseArns`, place);
  if (databaseArns !== undefined && admin === undefined)
    yield `${where}databaseArns: RDS is asked only about an administrator; name one (admin), or leave them out`;
  for (const key of kmsKeyArns) yield* faultsOfArn(key, KEY_ARN, `${where}kmsKeyArns`, place);

  if (hostSecurityGroup !== undefined) {
    const { id, port = 1 } = hostSecurityGroup;
    if (!isOpen(id) && !SECURITY_GROUP.test(id))
      yield `${where}hostSecurityGroup.id: "${id}" is not a security group's id such as sg-0123456789abcdef0`;
    if (!isOpen(port) && !isWhole(port, 1, 65_535)) yield `${where}hostSecurityGroup.port: ${port} is not a port`;
    if (!hasNetwork)
      yield `${where}hostSecurityGroup: only a function in a VPC can be let in; set network, or leave it out`;
  } else if (hasNetwork)
    yield `${where}hostSecurityGroup: without one, rotation in the VPC cannot reach the database; name the database's own`;
}

function* faultsOfReference(reference: SecretReference, where: string, home: Home): Faults {
  if (reference.arn !== undefined) yield* faultsOfArn(reference.arn, SECRET_ARN, `${where}arn`, home);
  else if (!isOpen(reference.name) && !/^[\w/+=.@!-]{1,512}$/.test(reference.name))
    yield `${where}name: "${reference.name}" is not the name of a secret: letters, digits and /_+=.@-, no wildcard`;
}

function* faultsOfNetwork({ vpcId, subnetIds, availabilityZones, endpoints }: Network): Faults {
  if (!isOpen(vpcId) && !/^vpc-[0-9a-f]+$/.test(vpcId))
    yield `network.vpcId: "${vpcId}" is not a VPC's id such as vpc-0123456789abcdef0`;
  if (subnetIds.length === 0) yield 'network.subnetIds: at least one is needed';
  if (!isOpen(subnetIds) && subnetIds.length !== availabilityZones.length)
    yield 'network.subnetIds: there must be one per zone in network.availabilityZones';
  for (const id of subnetIds)
    if (!isOpen(id) && !/^subnet-[0-9a-f]+$/.test(id))
      yield `network.subnetIds: "${id}" is not a subnet's id such as subnet-0123456789abcdef0`;
  if (endpoints === undefined) return;
  for (const service of endpoints.services)
    if (!ENDPOINT_SERVICES.includes(service))
      yield `network.endpoints.services: "${service}" must be one of ${ENDPOINT_SERVICES.join(', ')}`;
  for (const twice of repeated(endpoints.services)) yield `network.endpoints.services: ${twice} is there twice`;
  if (!isOpen(endpoints.vpcCidr) && !/^\d{1,3}(\.\d{1,3}){3}\/(1[6-9]|2[0-8])$/.test(endpoints.vpcCidr))
    yield `network.endpoints.vpcCidr: "${endpoints.vpcCidr}" is not a VPC's range such as 10.0.0.0/16`;
}

function* faultsOfDatabases({ caFile, namedCaFiles = {}, hosts = [] }: Databases): Faults {
  if (caFile !== undefined) yield* faultsOfCaFile(caFile, 'databases.caFile');
  for (const [name, file] of Object.entries(namedCaFiles)) {
    // As the tag rekey:ca may read.
    if (!/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(name))
      yield `databases.namedCaFiles: "${name}" must be 1 to 64 letters, digits, dots, hyphens and underscores`;
    yield* faultsOfCaFile(file, `databases.namedCaFiles["${name}"]`);
  }
  for (const suffix of hosts)
    if (!isOpen(suffix) && !/^(\.[a-z0-9-]+)+$/.test(suffix))
      yield `databases.hosts: "${suffix}" is not the end of a host name, such as .eu-west-1.rds.amazonaws.com`;
}

/** Every authority that has expired would be found out by a rotation, in the middle of the night. */
function* faultsOfCaFile(file: string, where: string): Faults {
  let pem: string;
  try {
    pem = readFileSync(resolve(file), 'utf8');
  } catch {
    yield `${where}: "${file}" cannot be read; name a PEM file from the project's root`;
    return;
  }
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) yield `${where}: there is no certificate in "${file}"; it must be PEM`;
  try {
    const valid = certificates.filter((each) => new X509Certificate(each).validToDate.getTime() > Date.now());
    if (certificates.length > 0 && valid.length === 0)
      yield `${where}: every certificate in "${file}" has expired; fetch a new bundle`;
  } catch {
    yield `${where}: a certificate in "${file}" cannot be read; it must be PEM`;
  }
}

const SECRET_ARN =
  /^arn:aws[a-z-]*:secretsmanager:(?<region>[^:]+):(?<account>[^:]+):secret:[\w/+=.@!-]+-[A-Za-z0-9]{6}$/;
const DATABASE_ARN = /^arn:aws[a-z-]*:rds:(?<region>[^:]+):(?<account>[^:]+):(db|cluster):[a-z][a-z0-9-]*$/;
const KEY_ARN = /^arn:aws[a-z-]*:kms:(?<region>[^:]+):(?<account>[^:]+):key\/[\w-]+$/;
const TOPIC_ARN = /^arn:aws[a-z-]*:sns:(?<region>[^:]+):(?<account>[^:]+):[\w-]{1,256}$/;
const BUS_ARN = /^arn:aws[a-z-]*:events:[^:]+:\d{12}:event-bus\/[\w./-]{1,256}$/;
const SECURITY_GROUP = /^sg-[0-9a-f]+$/;

function* faultsOfArn(arn: string, shape: RegExp, where: string, { account, region }: Home): Faults {
  if (isOpen(arn)) return;
  const parts = shape.exec(arn)?.groups;
  if (parts === undefined) yield `${where}: "${arn}" is not the complete ARN`;
  // A secret of another account needs a resource policy there and RotationToken here: not for this stack to grant.
  else if (!isOpen(account) && (parts['account'] !== account || parts['region'] !== region))
    yield `${where}: "${arn}" is not in account ${account} and Region ${region}`;
}

/** One word for the secrets that an entry is about, whichever way it names them. */
const selectionOf = (secret: RotatedSecretProps): string =>
  isTagged(secret) ? `the tag ${secret.tag.key} = ${secret.tag.value}` : (nameOf(secret) ?? secret.arn ?? '');

const sameSecret = (one: SecretReference, other: SecretReference) => {
  const name = nameOf(one);
  return name !== undefined && name === nameOf(other);
};

export const isElsewhere = ({ account, region }: Whereabouts, home: Home): boolean =>
  isForeign({ account }, home) || (!isOpen(home.region) && region !== home.region);

export const isForeign = ({ account }: Omit<Whereabouts, 'region'>, home: Home): boolean =>
  account !== undefined && account !== home.account;

/** Whether CloudFormation fills it in. */
const isOpen = (value: unknown) => Token.isUnresolved(value);

const isAccount = (text: string) => isOpen(text) || /^\d{12}$/.test(text);

const isRegion = (text: string) => isOpen(text) || RegionInfo.regions.some(({ name }) => name === text);

const isWhole = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max;

const repeated = (values: readonly string[]) => new Set(values.filter((value, index) => values.indexOf(value) < index));
