import { z } from 'zod';
import { checkKey } from './condition-keys.ts';
import { checkOperator } from './conditions.ts';

/** A policy document (IAM User Guide, "IAM JSON policy element reference"). */
export interface Policy {
  /** Policy variables are text before 2012-10-17. */
  readonly hasVariables: boolean;
  readonly statements: readonly Statement[];
}

export interface Statement {
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  /** Missing in a policy of a role: it is about the role. */
  readonly principal: Principal | undefined;
  readonly actions: Patterns;
  readonly resources: Patterns;
  readonly conditions: readonly Condition[];
}

/** `not`: everything but these (NotAction, NotResource). */
export interface Patterns {
  readonly not: boolean;
  readonly patterns: readonly string[];
}

/** `anyone`: `"*"` or `{"AWS": "*"}`. */
export type Principal = 'anyone' | { readonly aws: readonly string[]; readonly services: readonly string[] };

export interface Condition {
  readonly operator: string;
  readonly key: string;
  readonly values: readonly string[];
}

const oneOrMore = z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat());
const scalar = z.union([z.string(), z.boolean(), z.number()]).transform(String);
const values = z.union([scalar, z.array(scalar)]).transform((value) => [value].flat());

const statementSchema = z
  .strictObject({
    Sid: z.string().optional(),
    Effect: z.enum(['Allow', 'Deny']),
    Principal: z
      .union([z.literal('*'), z.strictObject({ AWS: oneOrMore.default([]), Service: oneOrMore.default([]) }).partial()])
      .optional(),
    Action: oneOrMore.optional(),
    NotAction: oneOrMore.optional(),
    Resource: oneOrMore.optional(),
    NotResource: oneOrMore.optional(),
    Condition: z.record(z.string(), z.record(z.string(), values)).default({}),
  })
  .refine((statement) => (statement.Action === undefined) !== (statement.NotAction === undefined), 'needs one Action')
  .refine((statement) => !(statement.Resource && statement.NotResource), 'has Resource and NotResource');

const policySchema = z.strictObject({
  Version: z.enum(['2008-10-17', '2012-10-17']).default('2008-10-17'),
  Id: z.string().optional(),
  Statement: z.preprocess((statements) => [statements].flat(), z.array(statementSchema)),
});

/**
 * @param document JSON, as an object or as text
 * @throws Error that names an element, a condition operator or a condition key which is not known here: it must never
 *   be taken for one that passes
 */
export function parsePolicy(document: unknown): Policy {
  const json = typeof document === 'string' ? JSON.parse(document) : document;
  const parsed = policySchema.safeParse(json);
  if (!parsed.success) throw new Error(`the policy is not understood:\n${z.prettifyError(parsed.error)}`);
  return {
    hasVariables: parsed.data.Version === '2012-10-17',
    statements: parsed.data.Statement.map(toStatement),
  };
}

function toStatement(json: z.infer<typeof statementSchema>): Statement {
  const conditions = Object.entries(json.Condition).flatMap(([operator, keys]) =>
    Object.entries(keys).map(([key, wanted]) => ({ operator, key, values: wanted })),
  );
  for (const { operator, key } of conditions) {
    checkOperator(operator);
    checkKey(key);
  }
  return {
    sid: json.Sid,
    effect: json.Effect,
    principal: json.Principal && principalOf(json.Principal),
    actions: { not: json.Action === undefined, patterns: json.Action ?? json.NotAction ?? [] },
    // A trust policy names no resource: it is about the role that carries it.
    resources: { not: json.NotResource !== undefined, patterns: json.Resource ?? json.NotResource ?? ['*'] },
    conditions,
  };
}

function principalOf(json: NonNullable<z.infer<typeof statementSchema>['Principal']>): Principal {
  if (json === '*' || json.AWS?.includes('*')) return 'anyone';
  return { aws: json.AWS ?? [], services: json.Service ?? [] };
}
