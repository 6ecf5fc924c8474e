import { TagResourceCommand } from '@aws-sdk/client-secrets-manager';
import { type FunctionSpec, RETIRE, ROTATION, SWEEP, SYNC, WATCH } from '../../../infra/wiring.ts';
import { AwsError } from '../../sandbox/aws/service.ts';
import { type ApplicationOptions, createApplication, rotate } from '../application.ts';
import { createPlainSecret, Team } from '../team.ts';
import { ALTERNATING, KEY_ARN, PAIRED, type World } from './world.ts';

/** Something that Rekey is for, as small as it can be. */
export interface Scenario {
  readonly name: string;
  /** Actions that are refused, and that this is right. */
  readonly refused?: readonly string[];
  /** Sets it going. @returns whether all that was promised is so by now */
  start(world: World): Promise<() => Promise<boolean>>;
}

/** Retired at once, though no workload is known to use it. */
const ALONE = { 'rekey:retire': 'converged', 'rekey:retire-after': '0s' };

async function createRotated(world: World, options: ApplicationOptions) {
  const name = world.fresh();
  const at = { host: 'localhost', administrator: world.administrator, kmsKeyId: KEY_ARN };
  return await createApplication(world, name, { ...at, ...options });
}

const isTold = async ({ announcements }: World, type: string, secretArn: string, versionId: string) =>
  (await announcements.of(secretArn, versionId)).some((one) => one.type === type);

const logged = ({ aws, nameOf }: World, spec: FunctionSpec) => aws.functions.logs(nameOf(spec));

const isIn = (lines: readonly string[], ...texts: string[]) =>
  lines.some((line) => texts.every((text) => line.includes(text)));

const isLogged = (world: World, spec: FunctionSpec, ...texts: string[]) => isIn(logged(world, spec), ...texts);

const isDone = async ({ waiting }: World) => (await waiting()) === 0;

/** The whole loop, with tags of one's own. */
function loop(name: string, tags: Readonly<Record<string, string>>): Scenario {
  return {
    name,
    async start(world) {
      const application = await createRotated(world, { tags: { ...ALTERNATING, ...ALONE, ...tags } });
      const { secretArn } = application;
      const versionId = await rotate(world, application);
      return async () =>
        application.version('AWSCURRENT') === versionId &&
        isLogged(world, ROTATION.postgres, 'step finished', versionId) &&
        isLogged(world, SYNC, 'sync finished', versionId) &&
        isLogged(world, RETIRE, 'looked at the previous', versionId) &&
        (await isTold(world, 'Rotation Succeeded', secretArn, versionId)) &&
        (await isTold(world, 'Secret Retired', secretArn, versionId)) &&
        (await world.toldOf(secretArn)).some((message) => message.includes('Secret Retired')) &&
        (await isDone(world));
    },
  };
}

const clustersOf = ({ kubernetes, foreignKubernetes }: World) =>
  foreignKubernetes ? [kubernetes, foreignKubernetes] : [kubernetes];

/** In both clusters. */
async function deploy(world: World, secretName: string): Promise<readonly Team[]> {
  const teams = clustersOf(world).map((kubernetes) => new Team(kubernetes.api, secretName).mounts(secretName));
  for (const team of teams) await team.runs('web').ready();
  return teams;
}

async function everyMarked(teams: readonly Team[], versionId: string): Promise<boolean> {
  const markers = await Promise.all(teams.map((team) => team.marker('web')));
  return markers.every((marker) => marker === versionId);
}

/** Retire hears of every secret that has converged, and may not look at one that Rekey does not rotate. */
const NOT_ROTATED = ['secretsmanager:DescribeSecret'];

const ruleOf = (spec: FunctionSpec) => `rekey-sandbox-${spec.name}`;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'watch measures rotations',
    async start(world) {
      const before = logged(world, WATCH).length;
      world.aws.fireSchedule(ruleOf(WATCH));
      return async () => isIn(logged(world, WATCH).slice(before), 'DaysWithoutRotation');
    },
  },
  loop('a password is rotated, and the user before it retired', {}),
  {
    name: 'what failed for a moment comes back in seconds',
    async start(world) {
      const secret = await createPlainSecret(world, world.fresh());
      const isBroughtBack = () =>
        world.aws.calls.some(({ operation, sequence }) => sequence > from && operation === 'ChangeMessageVisibility');
      const from = world.aws.calls.length;
      world.aws.inject((call) =>
        world.callerOf(call) === SYNC.name && call.operation === 'DescribeSecret' && !isBroughtBack()
          ? { kind: 'refuse', error: new AwsError('ThrottlingException', 'Rate exceeded') }
          : undefined,
      );
      const versionId = await secret.put();
      return async () => isBroughtBack() && isLogged(world, SYNC, 'sync finished', versionId) && (await isDone(world));
    },
  },
  {
    name: 'a new value is rolled out in the clusters of both accounts',
    refused: NOT_ROTATED,
    async start(world) {
      const secret = await createPlainSecret(world, world.fresh());
      const teams = await deploy(world, secret.name);
      const before = logged(world, SYNC).length;
      const versionId = await secret.put();
      return async () =>
        (await everyMarked(teams, versionId)) &&
        (await isTold(world, 'Secret Converged', secret.arn, versionId)) &&
        // A failed message comes back as well, but not for long, and an alarm rings.
        !isIn(logged(world, SYNC).slice(before), 'sync failed') &&
        (await isDone(world));
    },
  },
  {
    name: 'sweep brings back what a lost event left behind, in the clusters of both accounts',
    refused: NOT_ROTATED,
    async start(world) {
      const { aws } = world;
      const secret = await createPlainSecret(world, world.fresh());
      const teams = await deploy(world, secret.name);
      aws.disturbEvents(({ source }) => (source === 'aws.secretsmanager' ? [] : [0]));
      const versionId = await secret.put();
      const before = logged(world, SWEEP).length;
      aws.fireSchedule(ruleOf(SWEEP));
      return async () =>
        (await everyMarked(teams, versionId)) &&
        isIn(logged(world, SWEEP).slice(before), '"swept"', '"clusters":2', '"unseen":0') &&
        (await isTold(world, 'Secret Converged', secret.arn, versionId));
    },
  },
  {
    name: 'two users take turns, and the one before gets a password that nobody has read',
    async start(world) {
      const { aws, nameOf, secretsManager } = world;
      const application = await createRotated(world, { tags: { ...PAIRED, ...ALONE } });
      const { secretArn } = application;
      // Gives the right to read it: the function is then the one that rotates it.
      await aws.act('secretsmanager', 'RotateSecret', {
        SecretId: secretArn,
        RotationLambdaARN: world.rotationFunctionArn,
        RotationRules: { AutomaticallyAfterDays: 30 },
        RotateImmediately: false,
        ClientRequestToken: crypto.randomUUID(),
      });
      await aws.idle();
      await aws.functions.invoke(nameOf(ROTATION.postgres), { createPeer: secretArn });
      await secretsManager.send(
        new TagResourceCommand({ SecretId: secretArn, Tags: [{ Key: 'rekey:strategy', Value: 'user-pair' }] }),
      );
      const versionId = await rotate(world, application);
      return async () =>
        application.version('AWSCURRENT') === versionId &&
        (await isTold(world, 'Secret Retired', secretArn, versionId)) &&
        application.version('REKEYSTANDBY') !== undefined;
    },
  },
  {
    name: 'AWSCURRENT moves back when new pods crash',
    async start(world) {
      const tags = { ...ALTERNATING, ...ALONE, 'rekey:on-failure': 'move-back' };
      const application = await createRotated(world, { tags, secretName: world.fresh() });
      const { secretArn, secretName } = application;
      const first = application.version('AWSCURRENT') ?? '';
      await deploy(world, secretName);
      const versionId = await rotate(world, application);
      for (const kubernetes of clustersOf(world))
        kubernetes.behave(({ metadata: { annotations = {} } }) =>
          Object.values(annotations).includes(versionId) ? { kind: 'crash' } : undefined,
        );
      return async () =>
        application.version('AWSCURRENT') === first &&
        (await isTold(world, 'Secret Moved Back', secretArn, versionId)) &&
        (await isDone(world));
    },
  },
  // Longer than a busy machine takes to begin.
  loop('retire waits for the grace that the tag gives', { 'rekey:retire-after': '15s' }),
];
