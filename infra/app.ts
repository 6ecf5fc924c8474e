import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { checked, type Environment } from './config.ts';
import { RekeyStack } from './rekey-stack.ts';

const app = new App();
const name = String(app.node.tryGetContext('env') ?? 'example');
if (!/^[a-z0-9-]+$/.test(name)) throw new Error(`-c env=${name}: name a file under infra/environments, without .ts`);
const { environment }: { environment: Environment } = await import(`./environments/${name}.ts`);

new RekeyStack(app, checked(environment));
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
