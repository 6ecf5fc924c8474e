import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../shared/operations/clock.ts';
import { RekeyError } from '../shared/operations/errors.ts';
import type { HostPolicy } from '../shared/secrets/database-host.ts';

/** What a function that talks to databases is configured with. */
export interface DatabaseConfig {
  readonly eventBus: string;
  /** PEM: the authorities that may vouch for a database. */
  readonly ca: string;
  readonly hosts: HostPolicy;
}

/** What an engine's adapter is made with. */
export interface EngineOptions {
  readonly clock: Clock;
  /** PEM */
  readonly ca: string;
  /** For a sandbox on one machine only. */
  readonly allowLoopback: boolean;
}

/** @throws RekeyError CONFIG_INVALID with all faults at once, at the cold start rather than during a rotation */
export function readDatabaseConfig(env: NodeJS.ProcessEnv): DatabaseConfig {
  const faults: string[] = [];
  const required = (name: string): string => {
    const value = env[name] ?? '';
    if (value === '') faults.push(`${name} is missing`);
    return value;
  };
  const eventBus = required('REKEY_EVENT_BUS');
  const caFile = required('REKEY_DATABASE_CA_FILE');
  const ca = caFile === '' ? '' : readCertificates('REKEY_DATABASE_CA_FILE', caFile, faults);
  const allowLoopback = env['REKEY_ALLOW_LOOPBACK'] ?? 'false';
  if (!['true', 'false'].includes(allowLoopback)) faults.push('REKEY_ALLOW_LOOPBACK is neither true nor false');
  const allowedSuffixes = (env['REKEY_ALLOWED_HOSTS'] ?? '').toLowerCase().split(' ').filter(Boolean);
  if (!allowedSuffixes.every((suffix) => /^(\.[a-z0-9-]+)+$/.test(suffix)))
    faults.push('REKEY_ALLOWED_HOSTS is not a list of suffixes such as ".rds.amazonaws.com", separated by blanks');
  const authorities = readAuthorities(env[FOLDER] ?? '', faults);
  if (faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { eventBus, ca, hosts: { allowLoopback: allowLoopback === 'true', allowedSuffixes, authorities } };
}

const FOLDER = 'REKEY_DATABASE_CA_FOLDER';

/** The bundles that the tag `rekey:ca` may name: `<name>.pem` in the folder, none without one. */
function readAuthorities(folder: string, faults: string[]): ReadonlyMap<string, string> {
  if (folder === '') return new Map();
  try {
    const files = readdirSync(folder).filter((file) => file.endsWith('.pem'));
    return new Map(
      files.map((file) => [file.slice(0, -'.pem'.length), readCertificates(FOLDER, join(folder, file), faults)]),
    );
  } catch {
    faults.push(`${FOLDER}: ${folder} cannot be read`);
    return new Map();
  }
}

/** A file without certificates would have every connection refused, with an error that points elsewhere. */
function readCertificates(variable: string, file: string, faults: string[]): string {
  try {
    const pem = readFileSync(file, 'utf8');
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
    faults.push(`${variable}: there is no certificate in ${file}`);
  } catch {
    faults.push(`${variable}: ${file} cannot be read`);
  }
  return '';
}
