import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const APP = `
import { App, Stack } from 'aws-cdk-lib';
import { type ClusterStack, clusterStacks, Rekey, type RekeyProps, RotatedSecret } from 'rekey/infra';

const app = new App({ outdir: 'cdk.out' });
const env = { account: '111122223333', region: 'eu-west-1' };
const stack = new Stack(app, 'shop', { env });
const props: RekeyProps = {
  name: 'shop',
  clusters: [
    { name: 'shop', region: 'eu-west-1', createAccessEntries: true },
    { name: 'shop-dr', eksName: 'shop', region: 'eu-central-1', account: '444455556666', createAccessEntries: true },
  ],
  told: { emails: ['on-call@example.com'] },
  alarms: {},
  logLevel: 'INFO',
  logRetentionDays: 365,
  limits: { reserveConcurrency: true },
};
const rekey = new Rekey(stack, 'Rekey', props);
new RotatedSecret(stack, 'Orders', {
  rekey,
  name: 'shop/orders',
  engine: 'postgres',
  schedule: process.argv[2] ?? 'cron(0 3 ? * SUN *)',
  window: '2h',
});
const elsewhere: readonly ClusterStack[] = clusterStacks(app, { ...props, ...env });
for (const one of elsewhere) one.addStackDependency(stack);
// @ts-expect-error: the types came along
export const unknown: Parameters<typeof rekey.rotationOf> = ['oracle'];
app.synth();
`;

const NOT_OURS = ['aws-cdk-lib', 'constructs', '@types'];

describe('the npm package, installed beside a CDK app of somebody else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-library-'));
  const installed = join(folder, 'node_modules', 'rekey');
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['app.ts', ...args], { cwd: folder, encoding: 'utf8' });

  beforeAll(() => {
    execFileSync('npm', ['run', '--silent', 'library:built']);
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder, resolve('dist/library')]);
    mkdirSync(installed, { recursive: true });
    const [archive = ''] = globSync('rekey-*.tgz', { cwd: folder });
    execFileSync('tar', ['-xzf', join(folder, archive), '--strip-components=1', '-C', installed]);
    for (const name of NOT_OURS) symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    writeFileSync(join(folder, 'app.ts'), APP);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('is typed', () => {
    const own = JSON.parse(readFileSync('tsconfig.json', 'utf8'));
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...own, include: ['app.ts'] }));
    const { stdout, status } = spawnSync(resolve('node_modules/.bin/tsc'), ['-p', 'tsconfig.json'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect({ stdout, status }).toEqual({ stdout: '', status: 0 });
  });

  test('makes the stack, with the bundles that it brings along', () => {
    const { status, stderr } = run();
    expect({ status, stderr }).toMatchObject({ status: 0 });

    const { Resources } = JSON.parse(readFileSync(join(folder, 'cdk.out', 'shop.template.json'), 'utf8'));
    const functions = Object.values<{ Type: string; Properties: { FunctionName: string } }>(Resources).filter(
      ({ Type }) => Type === 'AWS::Lambda::Function',
    );
    expect(functions.map(({ Properties }) => Properties.FunctionName).sort()).toEqual(
      ['retire', 'rotation-postgres', 'sweep', 'sync', 'watch'].map((name) => `rekey-shop-${name}`),
    );
    const bundles = globSync('cdk.out/asset.*/index.mjs', { cwd: folder });
    const built = globSync('dist/{retire,rotation-postgres,sweep,sync,watch}/index.mjs');
    const contents = (paths: string[], at: string) => paths.map((path) => readFileSync(join(at, path), 'utf8')).sort();
    expect(contents(bundles, folder)).toEqual(contents(built, '.'));
  });

  test('makes the roles and the access entries that sync and sweep enter the clusters of another account by', () => {
    const path = join(folder, 'cdk.out', 'rekey-shop-clusters-444455556666-eu-central-1.template.json');
    const { Resources } = JSON.parse(readFileSync(path, 'utf8'));
    const of = (type: string) =>
      Object.values<{ Type: string; Properties: Record<string, unknown> }>(Resources)
        .filter(({ Type }) => Type === type)
        .map(({ Properties }) => Properties);
    expect(of('AWS::IAM::Role').map(({ RoleName }) => RoleName)).toEqual(
      ['sync', 'sweep'].map((name) => `rekey-shop-${name}-eu-central-1`),
    );
    expect(of('AWS::EKS::AccessEntry')).toMatchObject([
      { ClusterName: 'shop', KubernetesGroups: ['rekey'] },
      { ClusterName: 'shop', KubernetesGroups: ['rekey-sweep'] },
    ]);
    const { artifacts } = JSON.parse(readFileSync(join(folder, 'cdk.out', 'manifest.json'), 'utf8'));
    expect(artifacts['rekey-shop-clusters-444455556666-eu-central-1'].dependencies).toContain('shop');
  });

  test('says at synth what is wrong, as an environment of its own would', () => {
    const { status, stderr } = run('cron(30 3 ? * SUN *)');
    expect(status).not.toBe(0);
    expect(stderr).toContain('has the minute "30"; Secrets Manager takes 0 alone');
  });

  test('brings what is applied in a cluster, and depends on nothing that the app does not have', () => {
    expect(existsSync(join(installed, 'kubernetes', 'base', 'kustomization.yaml'))).toBe(true);
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    const compiled = globSync('{infra,shared}/**/*.js', { cwd: installed });
    const imported = compiled
      .flatMap((path) => [
        ...readFileSync(join(installed, path), 'utf8').matchAll(/^(?:import|export) .*from '([^.][^']*)'/gm),
      ])
      .map(([, specifier = '']) => specifier.split('/')[0] ?? '')
      .filter((specifier) => !specifier.startsWith('node:'));

    expect(dependencies).toBeUndefined();
    expect([...new Set(imported)].sort()).toEqual(Object.keys(peerDependencies).sort());
  });
});
