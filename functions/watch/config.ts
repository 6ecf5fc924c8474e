import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RekeyError } from '../../shared/operations/errors.ts';
import { readRotationFunctions } from '../rotation-functions.ts';

export interface WatchConfig {
  /** ARNs, separated by blanks in REKEY_ROTATION_FUNCTIONS. */
  readonly rotationFunctions: readonly string[];
  /** PEM, of the authorities that were deployed with the functions; those of Lambda's own image are AWS's to renew. */
  readonly authorities: readonly string[];
}

/** @throws RekeyError CONFIG_INVALID with all faults at once */
export function readWatchConfig(env: NodeJS.ProcessEnv): WatchConfig {
  const faults: string[] = [];
  const rotationFunctions = readRotationFunctions(env, faults);
  if (rotationFunctions.length === 0) faults.push('REKEY_ROTATION_FUNCTIONS is missing');
  const read = (variable: string, files: (path: string) => readonly string[]) => {
    const path = env[variable] ?? '';
    if (path === '') return [];
    try {
      return files(path).map((file) => readFileSync(file, 'utf8'));
    } catch {
      faults.push(`${variable}: ${path} cannot be read`);
      return [];
    }
  };
  const authorities = [
    ...read('REKEY_DATABASE_CA_FILE', (file) => [file]),
    ...read('REKEY_DATABASE_CA_FOLDER', (folder) => readdirSync(folder).map((file) => join(folder, file))),
  ];
  if (faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { rotationFunctions, authorities };
}
