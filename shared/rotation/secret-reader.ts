import { type DatabaseSecret, parseDatabaseSecret } from '../secrets/database-secret.ts';
import { versionWithStage } from '../secrets/port.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import type { Rotation } from './strategy.ts';

/** What it takes to make a login of a secret's value. */
export type ReaderContext = Pick<Rotation, 'secretArn' | 'rules' | 'hosts' | 'options' | 'topology' | 'deadline'>;

/**
 * A secret's value as a login, at the address where Rekey works.
 * @param what which version it is, for messages
 * @throws RekeyError SECRET_VALUE_INVALID, HOST_NOT_ALLOWED
 */
export async function readLogin(value: SecretValue, what: string, context: ReaderContext): Promise<DatabaseSecret> {
  const { secretArn, rules, hosts } = context;
  return parseDatabaseSecret(value, { what: `${what} of ${secretArn}`, rules, hosts });
}

/** The login under a label of the secret itself, or undefined where no version carries it. @throws as {@link readLogin} */
export async function readStaged(rotation: Rotation, stage: string): Promise<DatabaseSecret | undefined> {
  const versionId = versionWithStage(rotation, stage);
  const stored = versionId === undefined ? undefined : await rotation.store.read(rotation.secretArn, versionId);
  return stored && readLogin(stored.value, stage, rotation);
}
