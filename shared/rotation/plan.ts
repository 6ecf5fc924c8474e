import { RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, sameLogin, sameServer } from '../secrets/database-secret.ts';
import { CURRENT, PENDING, type SecretDescription, versionWithStage } from '../secrets/port.ts';

/** In the order in which Secrets Manager calls them. After a failure it calls all of them again. */
export const STEPS = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;
export type Step = (typeof STEPS)[number];

export type Admission =
  | { readonly kind: 'admitted'; readonly currentVersion: string }
  /** The rotation of this version is over: a step that comes again has nothing left to do. */
  | { readonly kind: 'alreadyCurrent' }
  | { readonly kind: 'refused'; readonly error: RekeyError };

/** Whether the labels allow any step for this version, before a value is read. */
export function admit(secret: SecretDescription, versionId: string): Admission {
  const refused = (...why: ConstructorParameters<typeof RekeyError>): Admission => ({
    kind: 'refused',
    error: new RekeyError(...why),
  });
  const { arn } = secret;
  const stages = secret.stages.get(versionId) ?? [];
  if (stages.includes(CURRENT)) return { kind: 'alreadyCurrent' };
  if (secret.deletedAtMs !== undefined) return refused('SECRET_DELETED', `${arn} is scheduled for deletion`);
  if (secret.owningService !== undefined)
    return refused('SECRET_MANAGED', `${arn} is owned and rotated by ${secret.owningService}`);
  if (secret.rotationEnabled === false) return refused('ROTATION_DISABLED', `rotation of ${arn} is switched off`);
  if (!stages.includes(PENDING))
    return refused('VERSION_NOT_PENDING', `version ${versionId} of ${arn} is not labelled ${PENDING}`);
  const currentVersion = versionWithStage(secret, CURRENT);
  if (currentVersion === undefined) return refused('CURRENT_MISSING', `no version of ${arn} is labelled ${CURRENT}`);
  return { kind: 'admitted', currentVersion };
}

/** What is stored, once admitted. */
export interface RotationState {
  readonly secretArn: string;
  readonly versionId: string;
  readonly current: DatabaseSecret;
  /** Undefined while the version has its label but no value, which is how every rotation begins. */
  readonly pending: DatabaseSecret | undefined;
  /** The user that the strategy puts into the pending version. */
  readonly nextUsername: string;
  /** Epoch milliseconds of the `rekey:hold` tag, while it lies in the future. */
  readonly heldUntilMs: number | undefined;
}

export type Action =
  | { readonly kind: 'create' }
  /** A pending value is stored: it must never be replaced, because the database may already have it. */
  | { readonly kind: 'keep' }
  | { readonly kind: 'set'; readonly pending: DatabaseSecret }
  | { readonly kind: 'test'; readonly pending: DatabaseSecret }
  /** Secrets Manager calls a lone testSecret to check a configuration (RotateImmediately=false): change nothing. */
  | { readonly kind: 'preflight' }
  | { readonly kind: 'promote'; readonly pending: DatabaseSecret }
  | { readonly kind: 'refuse'; readonly error: RekeyError };

/** The whole decision of a step. Everything it rests on is in `state`. */
export function plan(step: Step, state: RotationState): Action {
  const { pending, current, secretArn, versionId } = state;
  const refuse = (...why: ConstructorParameters<typeof RekeyError>): Action => ({
    kind: 'refuse',
    error: new RekeyError(...why),
  });

  if (pending === undefined) {
    if (step === 'testSecret') return { kind: 'preflight' };
    if (step !== 'createSecret')
      return refuse('STEP_OUT_OF_ORDER', `${step} came before version ${versionId} of ${secretArn} had a value`);
    if (state.heldUntilMs === undefined) return { kind: 'create' };
    const until = new Date(state.heldUntilMs).toISOString();
    return refuse('ROTATION_HELD', `${secretArn} is held by its tag until ${until}`);
  }

  if (sameLogin(pending, current)) {
    if (step === 'testSecret') return { kind: 'preflight' };
    return refuse('PENDING_MISMATCH', `version ${versionId} of ${secretArn} has the login of ${CURRENT}`);
  }
  // Before any connection: with another host or user in the pending version, the function would log in to, or change,
  // whatever its writer chose (confused deputy).
  const strays = differingKeys(state, pending);
  if (strays.length > 0)
    return refuse('PENDING_MISMATCH', `version ${versionId} of ${secretArn} has another ${strays.join(', ')}`);

  switch (step) {
    case 'createSecret':
      return { kind: 'keep' };
    case 'setSecret':
      return { kind: 'set', pending };
    case 'testSecret':
      return { kind: 'test', pending };
    case 'finishSecret':
      return { kind: 'promote', pending };
  }
}

function differingKeys({ current, nextUsername }: RotationState, pending: DatabaseSecret): string[] {
  const keysOf = ({ engine, host, port, database, encrypted, masterArn }: DatabaseSecret, username: string) => ({
    engine,
    host,
    port,
    dbname: database,
    ssl: encrypted,
    masterarn: masterArn,
    username,
  });
  const [expected, found] = [keysOf(current, nextUsername), keysOf(pending, pending.username)];
  const keys = (Object.keys(expected) as (keyof typeof expected)[]).filter((key) => expected[key] !== found[key]);
  // Where a tag says at which host Rekey works, both have that one; applications go by the JSON.
  return keys.length > 0 || sameServer(current, pending) ? keys : ['host'];
}
