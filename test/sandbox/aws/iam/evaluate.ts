import { holds, matchesWildcards } from './conditions.ts';
import type { Condition, Patterns, Policy, Statement } from './policy.ts';

/** Who asks. */
export type Requester =
  | {
      readonly kind: 'role';
      readonly accountId: string;
      /** `arn:aws:iam::…:role/…` */
      readonly roleArn: string;
      /** `arn:aws:sts::…:assumed-role/ROLE/SESSION` */
      readonly sessionArn: string;
    }
  /** e.g. `events.amazonaws.com` */
  | { readonly kind: 'service'; readonly name: string };

export interface Request {
  readonly requester: Requester;
  /** `service:Operation` */
  readonly action: string;
  /** ARN, or `*` for an action that knows no resources. */
  readonly resource: string;
  /** Twelve digits: who owns the resource. */
  readonly resourceAccount: string;
  /** Condition key, in lower case → values. */
  readonly context: ReadonlyMap<string, readonly string[]>;
}

/** A policy and where it is from, to tell of it. */
export interface Source {
  readonly name: string;
  readonly policy: Policy;
}

export interface Policies {
  /** Of the role that asks. */
  readonly identity: readonly Source[];
  /** On the resource itself. */
  readonly resource: Source | undefined;
  /** Nothing is allowed past the resource's own policy: KMS keys and roles that are assumed. */
  readonly resourceDecides: boolean;
}

/** The statement that decided, and which of its actions and resources matched. */
export interface Match {
  readonly source: string;
  readonly statement: Statement;
  readonly index: number;
  readonly action: string;
  readonly resource: string;
}

export type Decision =
  | { readonly allowed: true; readonly by: readonly Match[] }
  | {
      readonly allowed: false;
      readonly why: 'explicit deny' | 'nothing allows';
      readonly where: 'identity-based' | 'resource-based';
      readonly by: readonly Match[];
    };

/**
 * IAM User Guide, "Policy evaluation logic". An explicit Deny in any policy ends it. Then, within one account, an Allow
 * of either side is enough; across accounts both sides must allow; a service has no policies of its own, so the
 * resource's must. A resource policy that names the account (its root) only hands the decision on to the account's own
 * policies (KMS Developer Guide, "Allows access to the AWS account").
 * Not evaluated, because the sandbox has none: SCPs, permissions boundaries, session policies.
 */
export function evaluate(request: Request, policies: Policies): Decision {
  const { requester } = request;
  const identity = policies.identity.flatMap((source) => matches(source, request, () => 'itself'));
  const resource = policies.resource
    ? matches(policies.resource, request, (statement) => named(statement, requester))
    : [];

  for (const [where, found] of [['identity-based', identity] as const, ['resource-based', resource] as const]) {
    const by = found.filter(({ statement }) => statement.effect === 'Deny');
    if (by.length > 0) return { allowed: false, why: 'explicit deny', where, by };
  }

  const ownAccount = requester.kind === 'role' && requester.accountId === request.resourceAccount;
  const direct = resource.filter(({ as }) => as === 'itself');
  const handedOn = resource.filter(({ as }) => as === 'account');
  const refused = (where: 'identity-based' | 'resource-based'): Decision => ({
    allowed: false,
    why: 'nothing allows',
    where,
    by: [],
  });

  if (requester.kind === 'service')
    return direct.length > 0 ? { allowed: true, by: direct } : refused('resource-based');
  if (!ownAccount) {
    if (identity.length === 0) return refused('identity-based');
    return resource.length > 0 ? { allowed: true, by: [...identity, ...resource] } : refused('resource-based');
  }
  if (!policies.resourceDecides)
    return identity.length + direct.length > 0
      ? { allowed: true, by: [...identity, ...direct] }
      : refused('identity-based');
  if (direct.length > 0) return { allowed: true, by: direct };
  if (handedOn.length === 0) return refused('resource-based');
  return identity.length > 0 ? { allowed: true, by: [...identity, ...handedOn] } : refused('identity-based');
}

/** How a resource policy's statement names who asks: the account stands for whom its own policies allow. */
type Naming = 'itself' | 'account' | undefined;

function matches(
  { name, policy }: Source,
  request: Request,
  namingOf: (statement: Statement) => Naming,
): (Match & { readonly as: Naming })[] {
  return policy.statements.flatMap((statement, index) => {
    const as = namingOf(statement);
    if (as === undefined) return [];
    const action = matchOf(statement.actions, (pattern) =>
      matchesWildcards(pattern.toLowerCase(), request.action.toLowerCase()),
    );
    const resource = matchOf(statement.resources, (pattern) => {
      const written = policy.hasVariables ? substitute(pattern, request) : pattern;
      return written !== undefined && matchesWildcards(written, request.resource);
    });
    if (action === undefined || resource === undefined) return [];
    const isTrue = (condition: Condition) => holdsIn(condition, request, policy);
    return statement.conditions.every(isTrue) ? [{ source: name, statement, index, action, resource, as }] : [];
  });
}

function named({ principal }: Statement, requester: Requester): Naming {
  if (principal === undefined) return undefined;
  if (principal === 'anyone') return 'itself';
  if (requester.kind === 'service') return principal.services.includes(requester.name) ? 'itself' : undefined;
  const { accountId, roleArn, sessionArn } = requester;
  if (principal.aws.includes(roleArn) || principal.aws.includes(sessionArn)) return 'itself';
  const isAccount = principal.aws.some((arn) => arn === accountId || arn === `arn:aws:iam::${accountId}:root`);
  return isAccount ? 'account' : undefined;
}

/** The pattern that matched; of a negation, all of them, since none did. */
function matchOf({ not, patterns }: Patterns, isMatch: (pattern: string) => boolean): string | undefined {
  const found = patterns.find(isMatch);
  if (!not) return found;
  return found === undefined ? `not ${patterns.join(', ')}` : undefined;
}

function holdsIn({ operator, key, values }: Condition, request: Request, { hasVariables }: Policy): boolean {
  const written = values.flatMap((value) => (hasVariables ? (substitute(value, request) ?? []) : value));
  return holds(operator, written, request.context.get(key.toLowerCase()));
}

/**
 * Policy variables: `${aws:PrincipalAccount}`, `${key, 'default'}`, and `${$}` for the character.
 * @returns undefined when a variable has no single value: what holds it then matches nothing
 */
function substitute(text: string, { context }: Request): string | undefined {
  let isKnown = true;
  const written = text.replace(/\$\{([^}]*)\}/g, (_match, inside: string) => {
    if (inside === '$') return inside;
    if (inside === '*' || inside === '?') throw new Error('wildcards as mere characters are not known here');
    const [, key = inside, fallback] = /^([^,]+?)\s*,\s*'(.*)'$/.exec(inside) ?? [];
    const values = context.get(key.trim().toLowerCase());
    if (values?.length === 1) return values[0] ?? '';
    isKnown &&= fallback !== undefined;
    return fallback ?? '';
  });
  return isKnown ? written : undefined;
}
