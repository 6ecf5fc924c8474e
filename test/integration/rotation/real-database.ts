import { randomBytes } from 'node:crypto';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { createPeer } from '../../../shared/rotation/create-peer.ts';
import { type MoveBackOutcome, moveBack } from '../../../shared/rotation/move-back.ts';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import { type RetireOutcome, retire } from '../../../shared/rotation/retire.ts';
import type { RotationDeps, StepOutcome } from '../../../shared/rotation/steps.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import type { Account } from '../../sandbox/server-process.ts';
import { createRig, type Rig } from '../../unit/shared/rotation/rig.ts';
import type { RealServer } from './real-server.ts';

/** One application with a user of its own, something to read, and a secret, all on the given server. */
export interface Application {
  readonly rig: Rig;
  readonly username: string;
  readonly arn: string;
  /** Of the administrator's secret, whether the application's names it or not. */
  readonly adminArn: string;
  beginRotation(): string;
  run(step: Step, token: string, over?: Partial<RotationDeps>): Promise<StepOutcome>;
  /** A whole rotation. @returns what its steps did */
  rotate(): Promise<StepOutcome['kind'][]>;
  /** What makes the second user of a pair, whose login then waits under REKEYSTANDBY. */
  createPeer(): ReturnType<typeof createPeer>;
  /** As if all that uses the secret had been proved to run on AWSCURRENT. */
  retire(): Promise<RetireOutcome>;
  /** As if new pods of AWSCURRENT crashed, and the tag asked for it. */
  moveBack(): Promise<MoveBackOutcome>;
  login(stage: string): Promise<Account | undefined>;
  /** Whether the server lets the login of this label in, to read. */
  works(stage: string): Promise<boolean>;
  /** Every login that this application's secret has ever held. */
  logins(): readonly Account[];
  /** And every password. */
  passwords(): readonly string[];
}

export interface ApplicationOptions {
  /** Whether the secret names the administrator. @default where the strategy needs that */
  readonly masterarn?: boolean;
  readonly tags?: Readonly<Record<string, string>>;
}

let applications = 0;

export async function createApplication(
  server: RealServer,
  strategy: StrategyName,
  name = 'app',
  {
    masterarn: named = strategy === 'alternating-users' || strategy === 'user-pair',
    tags = {},
  }: ApplicationOptions = {},
): Promise<Application> {
  applications += 1;
  const first = { username: `${name}${applications}`, password: `first-${randomBytes(8).toString('hex')}` };
  await server.createUser(first, strategy);

  const rig = createRig(server.rekey.engine);
  const deps: RotationDeps = { ...rig.deps, ...server.rekey };
  const at = { ...server.secretKeys, host: server.host, port: server.port };
  const masterarn = rig.secrets.create('admin', JSON.stringify({ ...at, ...server.admin }), {
    'rekey:admin-for': 'app/db',
  });
  const arn = rig.secrets.create('app/db', JSON.stringify({ ...at, ...first, ...(named && { masterarn }) }), {
    'rekey:strategy': strategy,
    ...server.tagsFor(strategy),
    ...tags,
  });
  const login: Application['login'] = async (stage) => {
    const staged = await rig.secrets.store.readStage(arn, stage);
    return staged && JSON.parse(staged.value.expose());
  };
  const application: Application = {
    rig,
    username: first.username,
    arn,
    adminArn: masterarn,
    login,
    beginRotation: () => rig.secrets.beginRotation(arn),
    run: (step, token, over) => rig.run(step, arn, token, { ...server.rekey, ...over }),
    async rotate() {
      const token = application.beginRotation();
      const kinds: StepOutcome['kind'][] = [];
      for (const step of STEPS) kinds.push((await application.run(step, token)).kind);
      return kinds;
    },
    createPeer: () => createPeer(arn, deps, deadlineIn(30_000, systemClock)),
    async retire() {
      const versionId = (await rig.secrets.store.readStage(arn, CURRENT))?.versionId ?? '';
      const previousVersionId = (await rig.secrets.store.readStage(arn, PREVIOUS))?.versionId;
      const request = {
        secretArn: arn,
        versionId,
        previousVersionId,
        consumersProved: true,
        pinnedUses: false,
        convergedAtMs: 0,
      };
      const databases = [server.rekey];
      return await retire(
        request,
        { ...deps, databases, rotationFunctions: [ROTATION_FUNCTION] },
        deadlineIn(30_000, systemClock),
      );
    },
    async moveBack() {
      const [versionId = '', previousVersionId = ''] = await Promise.all(
        [CURRENT, PREVIOUS].map(async (stage) => (await rig.secrets.store.readStage(arn, stage))?.versionId),
      );
      const request = { secretArn: arn, secretName: 'app/db', versionId, previousVersionId, failed: [] };
      rig.secrets.secret(arn).tags.set('rekey:on-failure', 'move-back');
      return await moveBack(request, deps, deadlineIn(30_000, systemClock));
    },
    async works(stage) {
      const account = await login(stage);
      return account !== undefined && (await server.canRead(account));
    },
    logins: () =>
      [...rig.secrets.secret(arn).versions.values()].flatMap(({ value }) =>
        value === undefined ? [] : [JSON.parse(value) as Account],
      ),
    passwords: () => application.logins().map(({ password }) => password),
  };
  if (strategy === 'user-pair') await application.createPeer();
  if (!(await application.works(CURRENT))) throw new Error('the application cannot use its own database');
  return application;
}
