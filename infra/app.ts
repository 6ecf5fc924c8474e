import { App } from 'aws-cdk-lib';
import { clusterStacks } from './cluster-stack.ts';
import { environmentNamed } from './environment.ts';
import { reviewed } from './nag.ts';
import { RekeyStack } from './rekey-stack.ts';

const app = new App();
const environment = await environmentNamed(app.node.tryGetContext('env'));

const home = new RekeyStack(app, environment);
// An access entry wants its role to be there.
for (const away of clusterStacks(app, environment)) away.addStackDependency(home);
reviewed(app);
