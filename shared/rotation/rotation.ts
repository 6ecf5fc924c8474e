import { patientEngine } from '../engines/patient-engine.ts';
import type { Deadline } from '../operations/deadline.ts';
import { CURRENT, type SecretDescription, type StoredValue } from '../secrets/port.ts';
import { parseTags } from '../secrets/tags.ts';
import { readLogin } from './secret-reader.ts';
import type { Database, Rotation, Surroundings } from './strategy.ts';

/**
 * What is stored under AWSCURRENT, and everything around it.
 * @throws RekeyError TAG_INVALID, SECRET_VALUE_INVALID, HOST_NOT_ALLOWED
 */
export async function rotationOf(
  secret: SecretDescription,
  current: { readonly versionId: string; readonly stored: StoredValue },
  deps: Surroundings & Database,
  deadline: Deadline,
): Promise<Rotation> {
  const { store, topology, hosts, clock, log, announcer, rules } = deps;
  const options = parseTags(secret.tags);
  const engine = patientEngine(deps.engine, deadline, clock);
  const around = { store, topology, hosts, clock, log, announcer, engine, rules, deadline };
  const context = { secretArn: secret.arn, options, ...around };
  return {
    ...context,
    secretName: secret.name,
    stages: secret.stages,
    current: await readLogin(current.stored.value, CURRENT, context),
    currentVersion: current.versionId,
  };
}
