import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from './config.ts';
import { checked } from './config-check.ts';

const FOLDER = join(import.meta.dirname, 'environments');

/** The names that `-c env=` takes. */
export const environmentNames = (): readonly string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -'.ts'.length))
    .sort();

/**
 * The configuration of one environment.
 * @throws Error that names what there is instead, or everything that is wrong with it
 */
export async function environmentNamed(name: unknown): Promise<Environment> {
  const names = environmentNames();
  if (name === undefined) throw new Error(`which environment? Say -c env=<name>, with one of: ${names.join(', ')}`);
  if (typeof name !== 'string' || !names.includes(name))
    throw new Error(`-c env=${name}: there is no such file under infra/environments; there are ${names.join(', ')}`);
  const { environment }: { environment?: Environment } = await import(`./environments/${name}.ts`);
  if (environment === undefined) throw new Error(`infra/environments/${name}.ts must export const environment`);
  if (environment.name !== name)
    throw new Error(
      `infra/environments/${name}.ts: name: "${environment.name}" must be "${name}", as the file is called`,
    );
  return checked(environment);
}
