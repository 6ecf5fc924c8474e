import { isRecord, type KubernetesObject } from '../objects.ts';
import type { RequestTarget } from './request.ts';
import type { Resources } from './resources.ts';
import { StatusError } from './status-error.ts';
import type { Storage } from './storage.ts';

export interface User {
  readonly username: string;
  readonly groups: readonly string[];
}

export const ANONYMOUS: User = { username: 'system:anonymous', groups: ['system:unauthenticated'] };
export const ADMIN: User = { username: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] };

/** What somebody wants to do, as RBAC sees it. */
export type Attributes =
  | {
      readonly kind: 'resource';
      readonly verb: string;
      readonly group: string;
      /** With its subresource: `pods`, `deployments/status`. */
      readonly resource: string;
      readonly namespace: string | undefined;
      readonly name: string | undefined;
    }
  | { readonly kind: 'path'; readonly verb: string; readonly path: string };

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

/** RBAC, evaluated from the roles and bindings that are stored in the API itself. */
export class Authorizer {
  readonly #resources: Resources;
  readonly #storage: Storage;

  constructor(resources: Resources, storage: Storage) {
    this.#resources = resources;
    this.#storage = storage;
  }

  allows(user: User, attributes: Attributes): boolean {
    // As on a real server: this group is above RBAC, so that nobody can lock themselves out.
    if (user.groups.includes('system:masters')) return true;
    const namespace = attributes.kind === 'resource' ? attributes.namespace : undefined;
    return this.rulesFor(user, namespace).some((rule) => grants(rule, attributes));
  }

  /** The rules that hold for a user in a namespace, or cluster-wide. */
  rulesFor(user: User, namespace: string | undefined): PolicyRule[] {
    const ofCluster = this.#bindings('clusterrolebindings', undefined);
    const ofNamespace = namespace ? this.#bindings('rolebindings', namespace) : [];
    return [...ofCluster, ...ofNamespace]
      .filter((binding) => subjects(binding).some((subject) => names(subject, user)))
      .flatMap((binding) => this.#rulesOf(binding));
  }

  #bindings(plural: string, namespace: string | undefined): KubernetesObject[] {
    return this.#storage.list(this.#resources.named(plural), namespace);
  }

  #rulesOf(binding: KubernetesObject): PolicyRule[] {
    const reference = isRecord(binding['roleRef']) ? binding['roleRef'] : {};
    const isRole = reference['kind'] === 'Role';
    const role = this.#storage.get(
      this.#resources.named(isRole ? 'roles' : 'clusterroles'),
      isRole ? binding.metadata.namespace : undefined,
      String(reference['name']),
    );
    return Array.isArray(role?.['rules']) ? role['rules'] : [];
  }
}

function subjects(binding: KubernetesObject): Record<string, unknown>[] {
  return Array.isArray(binding['subjects']) ? binding['subjects'].filter(isRecord) : [];
}

function names(subject: Record<string, unknown>, user: User): boolean {
  switch (subject['kind']) {
    case 'User':
      return subject['name'] === user.username;
    case 'Group':
      return user.groups.includes(String(subject['name']));
    case 'ServiceAccount':
      return user.username === `system:serviceaccount:${subject['namespace']}:${subject['name']}`;
    default:
      return false;
  }
}

function grants(rule: PolicyRule, wanted: Attributes): boolean {
  const has = (list: readonly string[] | undefined, value: string) =>
    (list ?? []).some((one) => one === '*' || one === value);
  if (!has(rule.verbs, wanted.verb)) return false;
  if (wanted.kind === 'path') {
    return (rule.nonResourceURLs ?? []).some(
      (url) => url === wanted.path || (url.endsWith('*') && wanted.path.startsWith(url.slice(0, -1))),
    );
  }
  const subresource = wanted.resource.split('/')[1];
  return (
    has(rule.apiGroups, wanted.group) &&
    (has(rule.resources, wanted.resource) ||
      (subresource !== undefined && (rule.resources ?? []).includes(`*/${subresource}`))) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(wanted.name ?? ''))
  );
}

export function attributesOf(target: RequestTarget): Attributes {
  if (target.kind === 'other') return { kind: 'path', verb: target.verb, path: target.path };
  const { verb, resource, namespace, name, subresource } = target;
  return {
    kind: 'resource',
    verb,
    group: resource.group,
    resource: subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`,
    namespace: resource.kind === 'Namespace' ? name : namespace,
    name,
  };
}

/** 403 in the words of the real server. */
export function accessDenied(user: User, wanted: Attributes): StatusError {
  const who = `User ${JSON.stringify(user.username)}`;
  if (wanted.kind === 'path') {
    return new StatusError(
      403,
      'Forbidden',
      `forbidden: ${who} cannot ${wanted.verb} path ${JSON.stringify(wanted.path)}`,
      {},
    );
  }
  const plural = wanted.resource.split('/')[0] ?? '';
  const what = wanted.group === '' ? plural : `${plural}.${wanted.group}`;
  const which = wanted.name === undefined ? what : `${what} ${JSON.stringify(wanted.name)}`;
  const where =
    wanted.namespace === undefined ? 'at the cluster scope' : `in the namespace ${JSON.stringify(wanted.namespace)}`;
  return new StatusError(
    403,
    'Forbidden',
    `${which} is forbidden: ${who} cannot ${wanted.verb} resource ${JSON.stringify(wanted.resource)} in API group ${JSON.stringify(wanted.group)} ${where}`,
    {
      ...(wanted.name === undefined ? {} : { name: wanted.name }),
      ...(wanted.group === '' ? {} : { group: wanted.group }),
      kind: plural,
    },
  );
}

/** What every real cluster starts with: discovery and questions about oneself for whoever is logged in. */
export const BOOTSTRAP_ROLES = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: cluster-admin, labels: { kubernetes.io/bootstrapping: rbac-defaults } }
rules:
  - { apiGroups: ["*"], resources: ["*"], verbs: ["*"] }
  - { nonResourceURLs: ["*"], verbs: ["*"] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: "system:discovery", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
rules:
  - nonResourceURLs: [/api, /api/*, /apis, /apis/*, /healthz, /livez, /openapi, /openapi/*, /readyz, /version, /version/]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: "system:basic-user", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
rules:
  - { apiGroups: [authorization.k8s.io], resources: [selfsubjectaccessreviews, selfsubjectrulesreviews], verbs: [create] }
  - { apiGroups: [authentication.k8s.io], resources: [selfsubjectreviews], verbs: [create] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: "system:public-info-viewer", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
rules:
  - { nonResourceURLs: [/healthz, /livez, /readyz, /version, /version/], verbs: [get] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: cluster-admin, labels: { kubernetes.io/bootstrapping: rbac-defaults } }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:masters" }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: "system:discovery", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:discovery" }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated" }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: "system:basic-user", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:basic-user" }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated" }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: "system:public-info-viewer", labels: { kubernetes.io/bootstrapping: rbac-defaults } }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:public-info-viewer" }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated" }
  - { apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:unauthenticated" }
`;
