import { clusterStacks } from './cluster-stack.ts';
import { createApp } from './create-app.ts';
import { environmentNamed } from './environment.ts';
import { reviewed } from './nag.ts';
import { RekeyStack } from './rekey-stack.ts';

const app = createApp();
const environment = await environmentNamed(app.node.tryGetContext('env'));

const home = new RekeyStack(app, environment);
// An access entry wants its role to be there.
for (const away of clusterStacks(app, environment)) away.addStackDependency(home);
reviewed(app);
