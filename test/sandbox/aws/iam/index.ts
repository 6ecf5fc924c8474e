import type { Need } from '../service.ts';
import { type Decision, evaluate, type Match, type Requester, type Source } from './evaluate.ts';
import { type Policy, parsePolicy, type Statement } from './policy.ts';

export type { Requester } from './evaluate.ts';

/** One action on one resource that a statement allows, and how often that let a call through. */
export interface Right {
  /** The policy that holds the statement. */
  readonly source: string;
  readonly sid: string | undefined;
  /** As written, wildcards and all. */
  readonly action: string;
  readonly resource: string;
  readonly uses: number;
}

export class AccessDenied extends Error {
  readonly need: Need;

  /** IAM User Guide, "Troubleshoot access denied error messages". */
  constructor(who: string, need: Need, decision: Extract<Decision, { allowed: false }>) {
    const what = `${who} is not authorized to perform: ${need.action} on resource: ${need.resource}`;
    const why =
      decision.why === 'explicit deny'
        ? `with an explicit deny in ${decision.where === 'identity-based' ? 'an' : 'a'} ${decision.where} policy`
        : `because no ${decision.where} policy allows the ${need.action} action`;
    super(need.refusal ?? `${what} ${why}`);
    this.need = need;
  }
}

export interface Iam {
  /** @param trustPolicy who may assume it @param account @default the sandbox's own @returns its ARN */
  createRole(name: string, trustPolicy: unknown, account?: string): string;
  hasRole(name: string): boolean;
  /** An inline policy; one of the same name is replaced. @throws Error for what is not understood in it */
  putRolePolicy(roleName: string, policyName: string, document: unknown, account?: string): void;
  /** @param document undefined takes the policy away */
  putResourcePolicy(resourceArn: string, document: unknown): void;
  /** Adds a statement, or replaces the one that was added under this id (Lambda's AddPermission). */
  putResourceStatement(resourceArn: string, id: string, statement: object | undefined): void;
  /** @param via condition keys of how the request came, e.g. aws:SourceArn @throws AccessDenied */
  authorize(requester: Requester, need: Need, via?: Need['context']): void;
  isAllowed(requester: Requester, need: Need, via?: Need['context']): boolean;
  /** Of every statement that allows something. */
  rights(): readonly Right[];
  /** What was asked for in vain, in the order of time. */
  readonly refusals: readonly Need[];
  /** Called after each change of a policy. */
  onChange(listener: () => void): void;
}

/** Where every caller may do anything: a sandbox without IAM. */
export const OPEN: Pick<Iam, 'authorize' | 'isAllowed' | 'onChange'> = {
  authorize() {},
  isAllowed: () => true,
  onChange() {},
};

/** Simulated IAM: roles with inline policies, policies of resources, and the decision about each request. */
export function createIam({ accountId, region }: { readonly accountId: string; readonly region: string }): Iam {
  const roles = new Map<string, Map<string, Source>>();
  const resources = new Map<string, Source>();
  const added = new Map<string, Map<string, object>>();
  const uses = new Map<string, number>();
  const refusals: Need[] = [];
  const listeners: (() => void)[] = [];
  const arnOfRole = (name: string, account = accountId) => `arn:aws:iam::${account}:role/${name}`;
  const changed = () => {
    for (const listener of listeners) listener();
  };

  function decide(requester: Requester, need: Need, via: Need['context']): Decision {
    const context = new Map<string, readonly string[]>();
    const add = (more: Need['context']) => {
      for (const [key, value] of Object.entries(more ?? {}))
        if (value !== undefined) context.set(key.toLowerCase(), [value].flat());
    };
    // What reaches the sandbox over loopback would reach AWS over TLS alone.
    add({ 'aws:SecureTransport': 'true', 'aws:RequestedRegion': region });
    if (requester.kind === 'role')
      add({ 'aws:PrincipalArn': requester.roleArn, 'aws:PrincipalAccount': requester.accountId });
    const own = requester.kind === 'role' ? requester.accountId : accountId;
    const resourceAccount = /^arn:[^:]*:[^:]*:[^:]*:(\d{12}):/.exec(need.resource)?.[1] ?? own;
    add({ 'aws:ResourceAccount': resourceAccount, ...via, ...need.context });
    const identity = requester.kind === 'role' ? [...(roles.get(requester.roleArn)?.values() ?? [])] : [];
    const decision = evaluate(
      { requester, action: need.action, resource: need.resource, resourceAccount, context },
      {
        identity,
        resource: resources.get(need.resource),
        resourceDecides: need.action.startsWith('kms:') || need.action === 'sts:AssumeRole',
      },
    );
    return decision;
  }

  const keyOf = ({ source, index, action, resource }: Omit<Match, 'statement'>) =>
    JSON.stringify([source, index, action, resource]);

  function authorize(requester: Requester, need: Need, via?: Need['context']): void {
    const decision = decide(requester, need, via);
    if (!decision.allowed) {
      refusals.push(need);
      const who = requester.kind === 'role' ? `User: ${requester.sessionArn}` : requester.name;
      throw new AccessDenied(who, need, decision);
    }
    for (const match of decision.by) uses.set(keyOf(match), (uses.get(keyOf(match)) ?? 0) + 1);
  }

  function rightsOf({ name, policy }: Source): Right[] {
    return policy.statements.flatMap((statement: Statement, index) =>
      statement.effect === 'Deny'
        ? []
        : statement.actions.patterns.flatMap((action) =>
            statement.resources.patterns.map((resource) => ({
              source: name,
              sid: statement.sid,
              action,
              resource,
              uses: uses.get(keyOf({ source: name, index, action, resource })) ?? 0,
            })),
          ),
    );
  }

  return {
    createRole(name, trustPolicy, account) {
      const arn = arnOfRole(name, account);
      roles.set(arn, new Map());
      resources.set(arn, { name: `policy of ${arn}`, policy: parsePolicy(trustPolicy) });
      return arn;
    },
    hasRole: (name) => roles.has(arnOfRole(name)),
    putRolePolicy(roleName, policyName, document, account) {
      const role = roles.get(arnOfRole(roleName, account));
      if (!role) throw new Error(`there is no role ${roleName}`);
      role.set(policyName, { name: policyName, policy: parsePolicy(document) });
      changed();
    },
    putResourcePolicy(resourceArn, document) {
      if (document === undefined) resources.delete(resourceArn);
      else resources.set(resourceArn, { name: `policy of ${resourceArn}`, policy: parsePolicy(document) });
      changed();
    },
    putResourceStatement(resourceArn, id, statement) {
      const statements = added.get(resourceArn) ?? new Map<string, object>();
      added.set(resourceArn, statements);
      if (statement === undefined) statements.delete(id);
      else statements.set(id, { Sid: id, ...statement });
      const policy: Policy = parsePolicy({ Version: '2012-10-17', Statement: [...statements.values()] });
      resources.set(resourceArn, { name: `policy of ${resourceArn}`, policy });
      changed();
    },
    authorize,
    isAllowed(requester, need, via) {
      try {
        authorize(requester, need, via);
        return true;
      } catch (thrown) {
        if (thrown instanceof AccessDenied) return false;
        throw thrown;
      }
    },
    rights: () =>
      [...roles.values()]
        .flatMap((role) => [...role.values()])
        .concat([...resources.values()])
        .flatMap(rightsOf),
    refusals,
    onChange(listener) {
      listeners.push(listener);
    },
  };
}
