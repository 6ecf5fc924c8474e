import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from '../../../infra/bundling.ts';
import { DIST } from '../../../infra/dist.ts';
import { FUNCTIONS } from '../../../infra/wiring.ts';
import { startEnvironment } from '../environment.ts';
import { createEstate, type Estate } from './estate.ts';
import { keepOpen } from './keep-open.ts';
import { LoginClients } from './login-clients.ts';
import { Narrator } from './narrator.ts';
import { showBadRelease, showPlainSecret, showRotation } from './scenes.ts';

const HELP = `npm run demo -- [--keep | --bad-release]

Rotates a password of a real PostgreSQL while applications keep logging in, rolls the pods that mount it, proves each,
and retires the old user. Runs the bundles that Lambda would run. AWS and Kubernetes are simulated on this machine.

  --keep          leave everything up afterwards and print how to look around with aws and kubectl
  --bad-release   make the new pods of the first workload crash, and show that Rekey halts there

Exit codes: 0 all that it claims was so; 1 something was not; 2 the options are wrong.`;

function readOptions() {
  try {
    return parseArgs({
      options: { keep: { type: 'boolean' }, 'bad-release': { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
    process.exit(2);
  }
}

const options = readOptions();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const narrator = new Narrator();

narrator.chapter('Setting up');
for (const spec of FUNCTIONS) await bundle(spec, join(DIST, spec.name));
narrator.say(`built ${FUNCTIONS.map(({ name }) => name).join(', ')} as Lambda would run them`);

const environment = await startEnvironment({ timing: { containerStartMs: 300, readyMs: 700, terminationMs: 500 } });
let held = false;
try {
  narrator.say(`PostgreSQL ${environment.postgres.version} is up at ${environment.postgres.host}, TLS only`);
  const clients = new LoginClients(environment.postgres.ca);
  const manifests = await readFile(new URL('./manifests.yaml', import.meta.url), 'utf8');
  const estate: Estate = await createEstate(environment, clients, manifests, narrator);

  if (options['bad-release']) held = await showBadRelease(estate);
  else held = (await showRotation(estate)) && (await showPlainSecret(estate));
  await clients.stopAll();

  narrator.chapter('What was real and what was not');
  narrator.say(
    'real: PostgreSQL, its users, TLS and logins; the bundles, each in a process of its own; every wire protocol',
  );
  narrator.say(
    'simulated: Secrets Manager, IAM, EventBridge, SQS, SNS, EKS, Lambda; the Kubernetes API, its controllers,',
  );
  narrator.say('the node and the CSI driver. docs/sandbox.md says how closely.');
  if (options.keep) await keepOpen(environment, narrator);
} catch (error) {
  console.error(error);
} finally {
  await environment.close();
}
process.exitCode = held ? 0 : 1;
