/** A template that allows one action less than another. */
export interface Removal {
  /** Logical id of the policy. */
  readonly from: string;
  readonly sid: string;
  readonly action: string;
  readonly template: unknown;
  /** Names of the functions that keep what they were allowed for a while; undefined: any may. */
  readonly functions: readonly string[] | undefined;
}

interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
}
interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}
interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
}
interface Document {
  readonly Statement: readonly Statement[];
}

/** Type → the property that holds its policy. */
const POLICIES: Readonly<Record<string, string>> = {
  'AWS::IAM::ManagedPolicy': 'PolicyDocument',
  'AWS::IAM::Policy': 'PolicyDocument',
  'AWS::KMS::Key': 'KeyPolicy',
  'AWS::SNS::TopicPolicy': 'PolicyDocument',
  'AWS::SQS::QueuePolicy': 'PolicyDocument',
};

/** The template once for each action that a statement of it allows, without that action. */
export function removals(json: unknown): readonly Removal[] {
  const template = json as Template;
  const replaced = (from: string, property: string, value: unknown): Template => {
    const resource = template.Resources[from];
    const changed = { ...resource, Properties: { ...resource?.Properties, [property]: value } } as Resource;
    return { ...template, Resources: { ...template.Resources, [from]: changed } };
  };
  return Object.entries(template.Resources).flatMap(([from, { Type, Properties = {} }]) => {
    // A statement of its own, which allows nothing then that anybody asks for.
    if (Type === 'AWS::Lambda::Permission')
      return {
        from,
        sid: from,
        action: String(Properties['Action']),
        template: replaced(from, 'Action', 'lambda:None'),
        functions: [],
      };
    const property = POLICIES[Type];
    if (property === undefined) return [];
    const document = Properties[property] as Document;
    return document.Statement.flatMap((statement, at) =>
      statement.Effect === 'Deny'
        ? []
        : [statement.Action].flat().map((action) => ({
            from,
            sid: statement.Sid ?? '',
            action,
            template: replaced(from, property, without(document, at, action)),
            functions: Type === 'AWS::IAM::Policy' ? functionsOf(template, Properties['Roles']) : [],
          })),
    );
  });
}

/** Undefined for a role that none of these functions runs with: of another account, say, which they assume. */
function functionsOf({ Resources }: Template, roles: unknown): readonly string[] | undefined {
  const ids = (roles as readonly { readonly Ref: string }[]).map(({ Ref }) => Ref);
  const names = Object.values(Resources).flatMap(({ Type, Properties = {} }) =>
    Type === 'AWS::Lambda::Function' && ids.some((id) => JSON.stringify(Properties['Role']).includes(`"${id}"`))
      ? [String(Properties['FunctionName'])]
      : [],
  );
  return names.length > 0 ? names : undefined;
}

function without(document: Document, at: number, action: string): Document {
  const Statement = document.Statement.flatMap((statement, index) => {
    if (index !== at) return [statement];
    const Action = [statement.Action].flat().filter((each) => each !== action);
    return Action.length > 0 ? [{ ...statement, Action }] : [];
  });
  return { ...document, Statement };
}
