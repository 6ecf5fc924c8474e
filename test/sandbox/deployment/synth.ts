import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { clusterStacks } from '../../../infra/cluster-stack.ts';
import { checked } from '../../../infra/config-check.ts';
import { createApp } from '../../../infra/create-app.ts';
import { RekeyStack } from '../../../infra/rekey-stack.ts';
import { ROOT, type Synthesised } from './synthesise.ts';

/**
 * A program of its own: loading the CDK takes seconds, which only a change of the infrastructure is worth.
 * Standard input: an environment's configuration as JSON. Standard output: {@link Synthesised} as JSON.
 */
const outdir = mkdtempSync(join(tmpdir(), 'rekey-synth-'));
try {
  // The bundles stay where they were built.
  const app = createApp({ outdir, context: { 'aws:cdk:disable-asset-staging': true } });
  const environment = checked(JSON.parse(await text(process.stdin)));
  new RekeyStack(app, environment);
  clusterStacks(app, environment);
  const stacks = app
    .synth()
    .stacksRecursively.map(({ stackName: name, environment: { account }, template }) => ({ name, account, template }));
  process.stdout.write(JSON.stringify({ stacks, folders: foldersIn(outdir) } satisfies Synthesised));
} finally {
  rmSync(outdir, { recursive: true });
}

interface AssetManifest {
  readonly files: Readonly<Record<string, Asset>>;
}
interface Asset {
  readonly source: { readonly path: string };
  readonly destinations: Readonly<Record<string, { readonly objectKey: string }>>;
}

/** Of every stack's asset manifest: what is uploaded under which key. */
function foldersIn(folder: string): Record<string, string> {
  const manifests = readdirSync(folder).filter((name) => name.endsWith('.assets.json'));
  const assets = manifests.flatMap((name) =>
    Object.values((JSON.parse(readFileSync(join(folder, name), 'utf8')) as AssetManifest).files),
  );
  return Object.fromEntries(
    assets.flatMap(({ source, destinations }) =>
      Object.values(destinations).map(({ objectKey }) => [objectKey, relative(ROOT, resolve(folder, source.path))]),
    ),
  );
}
