import { createHash } from 'node:crypto';
import type { AwsSandbox } from '../index.ts';
import { referencesIn, resolve, type Scope } from './intrinsics.ts';
import { type Made, makerOf, OWN_POLICIES, POLICY_TYPES, type Site } from './resource-types.ts';
import { parseTemplate, type Template } from './template.ts';

export interface DeployOptions extends Pick<Site, 'folderOf' | 'fileOf' | 'reuse' | 'variables'> {
  readonly stackName: string;
  /** @default the sandbox's own */
  readonly accountId?: string;
  /** The exports of stacks that were deployed before. */
  readonly imports?: ReadonlyMap<string, string>;
}

export interface Stack {
  readonly name: string;
  readonly exports: ReadonlyMap<string, string>;
  /** Puts the policies and permissions of another version of the template in place; one that is gone stays as it is. */
  updatePolicies(template: unknown): Promise<void>;
}

/**
 * Simulated CloudFormation: makes what a template says, in the order of its references. Not simulated: rollback,
 * updates of anything but policies, drift, custom resources.
 * @throws Error that names the resource, for a template with anything that is not known here
 */
export async function deploy(aws: AwsSandbox, json: unknown, options: DeployOptions): Promise<Stack> {
  const template = parseTemplate(json);
  const made = new Map<string, Made>();
  const imports = options.imports ?? new Map<string, string>();
  const { accountId = aws.accountId } = options;

  const scopeOf = ({ Parameters }: Template): Scope => ({
    ref(name) {
      if (name === 'AWS::NoValue') return undefined;
      const pseudo = pseudoParameters(aws.region, accountId, options.stackName)[name];
      if (pseudo !== undefined) return pseudo;
      const parameter = Parameters[name];
      if (parameter) return parameter.Default;
      return found(made.get(name), `Ref to ${name}, which is not there`).ref;
    },
    attribute(logicalId, attribute) {
      const { attributes = {} } = found(made.get(logicalId), `Fn::GetAtt of ${logicalId}, which is not there`);
      return found(attributes[attribute], `the sandbox does not know ${attribute} of ${logicalId}`);
    },
    importValue: (name) => found(imports.get(name), `no stack exports ${name}`),
  });

  async function make(from: Template, logicalId: string): Promise<void> {
    const resource = found(from.Resources[logicalId], `there is no resource ${logicalId}`);
    const site = { ...options, aws, accountId, logicalId, generatedName: generatedName(options.stackName, logicalId) };
    try {
      made.set(logicalId, await makerOf(resource.Type)(resolve(resource.Properties, scopeOf(from)), site));
    } catch (failure) {
      throw new Error(`${resource.Type} ${logicalId} was not made: ${(failure as Error).message}`, { cause: failure });
    }
  }

  for (const logicalId of inOrder(template)) await make(template, logicalId);
  const exports = Object.values(template.Outputs).flatMap(({ Value, Export }) =>
    Export
      ? [[String(resolve(Export.Name, scopeOf(template))), String(resolve(Value, scopeOf(template)))] as const]
      : [],
  );
  return {
    name: options.stackName,
    exports: new Map(exports),
    async updatePolicies(next) {
      const parsed = parseTemplate(next);
      for (const logicalId of inOrder(parsed)) {
        const { Type = '', Properties = {} } = parsed.Resources[logicalId] ?? {};
        if (POLICY_TYPES.includes(Type)) await make(parsed, logicalId);
        // The resource stays as it is, and has another policy.
        const property = OWN_POLICIES[Type];
        if (property === undefined) continue;
        const { [property]: document } = resolve(Properties, scopeOf(parsed)) as Record<string, unknown>;
        aws.iam.putResourcePolicy(String(scopeOf(parsed).attribute(logicalId, 'Arn')), document);
      }
    },
  };
}

function pseudoParameters(region: string, accountId: string, stackName: string): Readonly<Record<string, string>> {
  return {
    'AWS::AccountId': accountId,
    'AWS::Partition': 'aws',
    'AWS::Region': region,
    'AWS::StackId': `arn:aws:cloudformation:${region}:${accountId}:stack/${stackName}/simulated`,
    'AWS::StackName': stackName,
    'AWS::URLSuffix': 'amazonaws.com',
  };
}

/** What is referred to, or depended on, comes first. @throws Error for a circle */
function inOrder({ Resources }: Template): readonly string[] {
  const order = new Set<string>();
  const visit = (logicalId: string, path: readonly string[]) => {
    const resource = Resources[logicalId];
    if (resource === undefined || order.has(logicalId)) return;
    if (path.includes(logicalId)) throw new Error(`a circle of resources: ${[...path, logicalId].join(' → ')}`);
    for (const needed of [...referencesIn(resource.Properties), ...resource.DependsOn])
      visit(needed, [...path, logicalId]);
    order.add(logicalId);
  };
  for (const logicalId of Object.keys(Resources)) visit(logicalId, []);
  return [...order];
}

/** The same for the same template, so that two runs can be compared. */
function generatedName(stackName: string, logicalId: string): string {
  const suffix = createHash('sha256').update(`${stackName}/${logicalId}`).digest('hex').slice(0, 12).toUpperCase();
  // Sixty-four characters are the most for a role or a function.
  return `${stackName}-${logicalId.slice(0, 64 - stackName.length - suffix.length - 2)}-${suffix}`;
}

function found<T>(value: T | undefined, otherwise: string): T {
  if (value === undefined) throw new Error(otherwise);
  return value;
}
