// Installs what the lock file asks for, when something of it is missing. Plain JavaScript, because this is what runs
// before there is anything that understands TypeScript. Quiet when nothing is to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = 20;
const OWN_NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node');

const packagesIn = (file) => JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages;

/** An optional package belongs here when it is for this platform. (Which C library it is for, only npm knows.) */
const belongsHere = ({ optional, os, cpu, libc }) =>
  !optional || (os?.includes(process.platform) && cpu?.includes(process.arch) && libc === undefined);

/** Compares the lock file with npm's own record of what it installed. */
function whatIsMissing() {
  const record = 'node_modules/.package-lock.json';
  if (!existsSync(join(ROOT, record))) return 'node_modules is not there';
  if (!existsSync(OWN_NODE)) return "the project's own Node is not there";
  const installed = packagesIn(record);
  for (const [path, wanted] of Object.entries(packagesIn('package-lock.json'))) {
    const found = installed[path];
    if (path === '' || (found === undefined && !belongsHere(wanted))) continue;
    if (found === undefined) return `${path} is not there`;
    if (found.version !== wanted.version || found.integrity !== wanted.integrity) return `${path} is another version`;
  }
  return undefined;
}

function giveUp(what, whatToDo) {
  console.error(`\n${what}\n→ ${whatToDo}`);
  process.exit(1);
}

const running = Number(process.versions.node.split('.')[0]);
if (running < OLDEST_NODE)
  giveUp(`Node ${process.versions.node} is too old.`, `Install Node ${OLDEST_NODE} or newer: https://nodejs.org`);

const missing = whatIsMissing();
if (missing !== undefined) {
  console.error(`Installing what package-lock.json asks for (${missing}): npm ci. This takes a minute or two.`);
  // npm must not run on the Node that lives in node_modules, which it is about to replace.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(join(ROOT, 'node_modules')));
  const startedAtMs = Date.now();
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    // Standard output belongs to the command that this runs before.
    stdio: ['ignore', process.stderr, process.stderr],
    env: { ...process.env, PATH: path.join(delimiter) },
  });
  if (npm.error)
    giveUp(`npm could not be started: ${npm.error.message}`, 'Install npm 10 or newer; it comes with Node.');
  if (npm.status !== 0)
    giveUp(
      `npm ci failed (${npm.signal ?? `exit code ${npm.status}`}).`,
      'Read its message above. Offline or behind a proxy: set the registry with `npm config set registry …`.',
    );

  const wanted = readFileSync(join(ROOT, '.nvmrc'), 'utf8').trim();
  const own = spawnSync(OWN_NODE, ['--version'], { encoding: 'utf8' });
  if (own.status !== 0 || !own.stdout.startsWith(`v${wanted}.`))
    giveUp(
      `The project's own Node is not ${wanted}: ${own.stdout?.trim() || own.error?.message || own.stderr}`,
      'Allow the install script of the package `node` (npm config get ignore-scripts), delete node_modules, try again.',
    );
  console.error(`Installed in ${Math.round((Date.now() - startedAtMs) / 1000)} s, with Node ${own.stdout.trim()}.`);
}
