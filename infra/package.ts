import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { zipSync } from 'fflate';
import { createApp } from './create-app.ts';
import { ROOT } from './dist.ts';
import { PackagedStack, type Shape } from './packaged-stack.ts';
import { type EngineName, ROTATION } from './wiring.ts';

const HELP = `npm run package -- [--engines postgres,mysql] [--clusters 2] [--in-vpc] [--to folder]

Writes a CloudFormation template for any account and Region, the functions' zips, and their checksums.
  --engines   the kinds of database to rotate, separated by commas (${Object.keys(ROTATION).join(', ')}); default: all
  --clusters  how many EKS clusters to sync; default: 1
  --in-vpc    the functions run in a VPC
  --to        where to; default: package`;

/**
 * Writes the package and says what it wrote. The same sources make the same bytes, on every machine.
 * @param to the folder whose contents go into the bucket as they are; what a package was there before is gone
 * @returns the paths under `to`
 */
export function writePackage(shape: Shape, to: string): readonly string[] {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const folder = `rekey-${version}`;
  rmSync(join(to, folder), { recursive: true, force: true });
  const assembly = mkdtempSync(join(tmpdir(), 'rekey-package-'));
  try {
    const app = createApp({ outdir: assembly, analyticsReporting: false });
    new PackagedStack(app, shape, folder);
    const [stack] = app.synth().stacks;
    if (stack === undefined) throw new Error('there is no stack to package');
    const files = new Map([
      [`${folder}/rekey.template.json`, Buffer.from(`${JSON.stringify(stack.template, null, 1)}\n`)],
      [`${folder}/package.json`, Buffer.from(`${JSON.stringify({ version, ...shape }, null, 2)}\n`)],
      ...zipsOf(assembly),
    ]);
    const sums = [...files].map(([path, content]) => `${sha256(content)}  ${relative(folder, path)}\n`).sort();
    files.set(`${folder}/SHA256SUMS`, Buffer.from(sums.join('')));
    for (const [path, content] of files) {
      mkdirSync(dirname(join(to, path)), { recursive: true });
      writeFileSync(join(to, path), content);
    }
    return [...files.keys()].sort();
  } finally {
    rmSync(assembly, { recursive: true, force: true });
  }
}

/** As CDK's own manifest of assets says: which folder is zipped, and under which key the template looks for it. */
function zipsOf(assembly: string): [string, Buffer][] {
  const { files }: { files: Record<string, Asset> } = JSON.parse(
    readFileSync(join(assembly, 'rekey.assets.json'), 'utf8'),
  );
  return Object.values(files)
    .filter(({ source }) => source.packaging === 'zip')
    .flatMap(({ source, destinations }) =>
      Object.values(destinations).map(({ objectKey }): [string, Buffer] => [
        objectKey,
        zipped(resolve(assembly, source.path)),
      ]),
    );
}

interface Asset {
  readonly source: { readonly path: string; readonly packaging: string };
  readonly destinations: Readonly<Record<string, { readonly objectKey: string }>>;
}

/** One order, one time, one mode: the bytes depend on the contents alone. */
function zipped(folder: string): Buffer {
  const UNIX = 3;
  const READABLE = 0o100644;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name))
    .sort();
  const content = Object.fromEntries(files.map((file) => [relative(folder, file), readFileSync(file)]));
  return Buffer.from(zipSync(content, { level: 9, mtime: new Date(1980, 0, 1), os: UNIX, attrs: READABLE * 2 ** 16 }));
}

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

/** @throws Error that says what would be right */
export function shapeFrom(engines: string, clusters: string, inVpc: boolean): Shape {
  const known = Object.keys(ROTATION);
  const named = engines.split(',').filter(Boolean);
  for (const engine of named)
    if (!known.includes(engine)) throw new Error(`--engines: "${engine}" must be one of ${known.join(', ')}`);
  const count = Number(clusters);
  if (!Number.isInteger(count) || count < 0 || count > 20 || clusters === '')
    throw new Error(`--clusters: "${clusters}" must be a whole number from 0 to 20`);
  if (count === 0 && named.length === 0)
    throw new Error('--engines, --clusters: there is nothing to do; name a kind of database or a number of clusters');
  return { engines: known.filter((engine): engine is EngineName => named.includes(engine)), clusters: count, inVpc };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      engines: { type: 'string', default: Object.keys(ROTATION).join(',') },
      clusters: { type: 'string', default: '1' },
      'in-vpc': { type: 'boolean', default: false },
      to: { type: 'string', default: 'package' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const shape = shapeFrom(values.engines, values.clusters, values['in-vpc']);
  for (const path of writePackage(shape, values.to)) console.log(join(values.to, path));
}

if (basename(process.argv[1] ?? '') === 'package.ts')
  try {
    main();
  } catch (failure) {
    console.error(`${failure instanceof Error ? failure.message : failure}\n\n${HELP}`);
    process.exitCode = 2;
  }
