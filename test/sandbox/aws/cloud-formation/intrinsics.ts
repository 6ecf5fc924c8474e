/**
 * CloudFormation's intrinsic functions, those that are used: CloudFormation Template Reference, "Intrinsic function
 * reference". One that is not known here is an error, so that nothing is deployed half-understood.
 */

/** What names in a template stand for. Each throws Error for a name that it does not know. */
export interface Scope {
  /** Of a resource, a parameter or a pseudo parameter. Undefined: AWS::NoValue. */
  ref(name: string): unknown;
  attribute(logicalId: string, attribute: string): unknown;
  importValue(exportName: string): unknown;
}

export function resolve(value: unknown, scope: Scope): unknown {
  if (Array.isArray(value)) return value.map((each) => resolve(each, scope)).filter((each) => each !== undefined);
  if (typeof value !== 'object' || value === null) return value;
  const call = callOf(value);
  if (call) return evaluate(call, scope);
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, member]) => [name, resolve(member, scope)] as const)
      .filter(([, member]) => member !== undefined),
  );
}

/** The logical ids that a value refers to, wherever in it. */
export function referencesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (typeof value !== 'object' || value === null) return [];
  const call = callOf(value);
  if (call?.name === 'Ref') return [String(call.argument)];
  if (call?.name === 'Fn::GetAtt') return [attributeOf(call.argument)[0]];
  const own = call?.name === 'Fn::Sub' ? namesIn(textOf(call.argument)).map((name) => name.split('.')[0] ?? '') : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
}

interface Call {
  readonly name: string;
  readonly argument: unknown;
}

function callOf(value: object): Call | undefined {
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return undefined;
  const [name, argument] = entry;
  return name === 'Ref' || name.startsWith('Fn::') ? { name, argument } : undefined;
}

function evaluate({ name, argument }: Call, scope: Scope): unknown {
  switch (name) {
    case 'Ref':
      return scope.ref(String(argument));
    case 'Fn::GetAtt':
      return scope.attribute(...attributeOf(argument));
    case 'Fn::Join': {
      const [separator, parts] = list(name, resolve(argument, scope), 2);
      return list(name, parts).join(String(separator));
    }
    case 'Fn::Sub':
      return substitute(argument, scope);
    case 'Fn::Select': {
      const [index, from] = list(name, resolve(argument, scope), 2);
      const chosen = list(name, from)[Number(index)];
      if (chosen === undefined) throw new Error(`Fn::Select: there is no element ${index}`);
      return chosen;
    }
    case 'Fn::Split': {
      const [separator, text] = list(name, resolve(argument, scope), 2);
      return String(text).split(String(separator));
    }
    case 'Fn::ImportValue':
      return scope.importValue(String(resolve(argument, scope)));
    default:
      throw new Error(`the sandbox does not know the intrinsic function ${name}`);
  }
}

/** `${Name}`, `${Name.Attribute}`, `${!Literal}`, with values of its own in the second place of a list. */
function substitute(argument: unknown, scope: Scope): string {
  const own = Array.isArray(argument) ? (resolve(argument[1], scope) as Record<string, unknown>) : {};
  return textOf(argument).replace(VARIABLE, (_match, name: string) => {
    if (name.startsWith('!')) return `\${${name.slice(1)}}`;
    if (Object.hasOwn(own, name)) return String(own[name]);
    return String(name.includes('.') ? scope.attribute(...attributeOf(name)) : scope.ref(name));
  });
}

const VARIABLE = /\$\{([^}]+)\}/g;

function namesIn(text: string): string[] {
  return [...text.matchAll(VARIABLE)].map(([, name = '']) => name).filter((name) => !name.startsWith('!'));
}

function textOf(argument: unknown): string {
  return String(Array.isArray(argument) ? argument[0] : argument);
}

function attributeOf(argument: unknown): [logicalId: string, attribute: string] {
  if (typeof argument === 'string') {
    const [logicalId = '', ...attribute] = argument.split('.');
    return [logicalId, attribute.join('.')];
  }
  const [logicalId, attribute] = list('Fn::GetAtt', argument, 2);
  return [String(logicalId), String(attribute)];
}

function list(name: string, value: unknown, length?: number): readonly unknown[] {
  if (Array.isArray(value) && (length === undefined || value.length === length)) return value;
  throw new Error(`${name} takes a list${length === undefined ? '' : ` of ${length}`}, not ${JSON.stringify(value)}`);
}
