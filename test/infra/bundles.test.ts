import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundle, bundle } from '../../infra/bundling.ts';
import { type EngineName, FUNCTIONS, LAMBDA_CA_FILE, ROTATION } from '../../infra/wiring.ts';
import { example, synthesised } from './synthesised.ts';

/** Bytes that a start reads; it is dominated by what has to be parsed. */
const BUDGETS: Readonly<Record<string, number>> = {
  'rotation-postgres': 455_000,
  // The driver brings the names of every error.
  'rotation-mysql': 760_000,
  'rotation-mariadb': 760_000,
  // The client brings every command of Redis.
  'rotation-redis': 760_000,
  sync: 1_350_000,
  sweep: 1_350_000,
  // The drivers of all kinds of database.
  retire: 1_420_000,
  watch: 240_000,
};

/** One secret of each kind of database, so that every function is there. */
const rotated = (Object.keys(ROTATION) as EngineName[]).flatMap((engine) =>
  example.rotated.map((secret) => ({ ...secret, engine, arn: secret.arn.replace('orders', engine) })),
);
const { functionNamed } = synthesised({ rotated });

const MYSQL2 = /node_modules\/mysql2\//;

/** The driver of each kind of database. */
const DRIVERS: Readonly<Record<EngineName, RegExp>> = {
  postgres: /node_modules\/pg\//,
  mysql: MYSQL2,
  mariadb: MYSQL2,
  redis: /node_modules\/@redis\/client\//,
};

const folder = mkdtempSync(join(tmpdir(), 'rekey-bundles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(FUNCTIONS)('the bundle of $name', (spec) => {
  const own = join(folder, spec.name);
  let built: Bundle;
  let files: string[];
  let text: string;

  beforeAll(async () => {
    built = await bundle(spec, own);
    files = readdirSync(own).filter((name) => name.endsWith('.mjs'));
    text = files.map((name) => readFileSync(join(own, name), 'utf8')).join('\n');
  });

  test('keeps within its budget', () => {
    expect(built.startBytes).toBeGreaterThanOrEqual(statSync(join(own, 'index.mjs')).size);
    expect(built.startBytes).toBeLessThanOrEqual(BUDGETS[spec.name] ?? 0);
  });

  test('has the same bytes when it is built again, elsewhere', async () => {
    await bundle(spec, `${own}-again`);

    expect(contents(`${own}-again`)).toEqual(contents(own));
  });

  test('starts alone, with the variables that the stack gives it', () => {
    const start = "import('./index.mjs').then(({ handler }) => console.log(typeof handler))";

    const printed = execFileSync(process.execPath, ['--eval', start], {
      cwd: own,
      env: deployedVariables(spec.name),
      encoding: 'utf8',
    });

    expect(printed).toBe('function\n');
  });

  test('84: imports nothing but its own files and Node’s own modules', () => {
    const specifiers = [...text.matchAll(/(?:^|[;}\s])(?:import|export)[^'"();]*?from\s*["']([^"']+)["']/g)];
    const modules = specifiers.map(([, specifier = '']) => specifier.replace(/^node:/, ''));

    expect(modules).toContain('module');
    const own = files.map((name) => `./${name}`);
    expect(modules.filter((each) => !builtinModules.includes(each) && !own.includes(each))).toEqual([]);
  });

  test('carries no test code, and of the clients only those that it uses', () => {
    const drivers = Object.values(DRIVERS).filter((driver) => built.inputs.some((path) => driver.test(path)));
    const carries = (path: RegExp) => built.inputs.some((input) => path.test(input));

    expect(drivers).toEqual(Object.values(DRIVERS).filter((driver) => driversOf(spec.name).includes(driver)));
    expect(carries(/@kubernetes\/client-node/)).toBe(['sync', 'sweep'].includes(spec.name));
    expect(carries(/^test\//)).toBe(false);
  });
});

/** Rotation carries one, so that it starts quickly; retire serves every kind of database. */
function driversOf(name: string): readonly RegExp[] {
  if (name === 'retire') return Object.values(DRIVERS);
  return Object.entries(DRIVERS).flatMap(([engine, driver]) => (name === `rotation-${engine}` ? driver : []));
}

/** As in the template; what CloudFormation would fill in, and Lambda's own files, are stood in for. */
function deployedVariables(name: string): Record<string, string> {
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, rootCertificates[0] ?? '');
  const standIns: Record<string, string> = {
    REKEY_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/111122223333/queue',
  };
  const variables = Object.entries(functionNamed(name).properties['Environment'].Variables).map(([key, value]) => [
    key,
    value === LAMBDA_CA_FILE ? ca : typeof value === 'string' ? value : (standIns[key] ?? resolved(value)),
  ]);
  return { AWS_REGION: 'eu-west-1', ...Object.fromEntries(variables) };
}

/** A value that CloudFormation joins from parts: the partition is all that is open in one. */
const resolved = (value: unknown): string =>
  (value as { 'Fn::Join'?: [string, unknown[]] })['Fn::Join']?.[1]
    .map((part) => (typeof part === 'string' ? part : 'aws'))
    .join('') ?? 'rekey-example';

/** File name → SHA-256. */
const contents = (path: string) =>
  Object.fromEntries(
    readdirSync(path).map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(path, file)))
        .digest('hex'),
    ]),
  );
