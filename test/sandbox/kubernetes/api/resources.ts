import type { CustomResourceDefinition, Schema } from '../custom-resources/definition.ts';
import { CUSTOM_RESOURCES } from '../custom-resources/index.ts';

/** One row per kind that the API serves. Another custom resource is another row. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  /** Served versions, the preferred one first. Objects are stored once and answered in the version asked for. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced: boolean;
  /** Defined by a CustomResourceDefinition: no strategic merge patch, no update without resourceVersion. */
  readonly custom?: true;
  /** Of custom resources: what is not in it is dropped, and what is of another type refused. */
  readonly schema?: Schema;
  /** Writes to the main resource leave the status alone, and the other way round. */
  readonly status?: true;
  /** What makes metadata.generation grow; without it the kind has none. */
  readonly generation?: 'spec' | 'spec-or-annotations' | 'anything';
  /** Fields that an update may not change, as paths. */
  readonly immutable?: readonly string[];
}

const BUILT_IN: readonly Resource[] = [
  {
    group: '',
    versions: ['v1'],
    kind: 'Namespace',
    plural: 'namespaces',
    singular: 'namespace',
    shortNames: ['ns'],
    namespaced: false,
    status: true,
  },
  {
    group: '',
    versions: ['v1'],
    kind: 'Node',
    plural: 'nodes',
    singular: 'node',
    shortNames: ['no'],
    namespaced: false,
    status: true,
  },
  {
    group: '',
    versions: ['v1'],
    kind: 'Pod',
    plural: 'pods',
    singular: 'pod',
    shortNames: ['po'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
  },
  {
    group: '',
    versions: ['v1'],
    kind: 'Event',
    plural: 'events',
    singular: 'event',
    shortNames: ['ev'],
    namespaced: true,
  },
  {
    group: '',
    versions: ['v1'],
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    singular: 'serviceaccount',
    shortNames: ['sa'],
    namespaced: true,
  },
  {
    group: '',
    versions: ['v1'],
    kind: 'ConfigMap',
    plural: 'configmaps',
    singular: 'configmap',
    shortNames: ['cm'],
    namespaced: true,
  },
  { group: '', versions: ['v1'], kind: 'Secret', plural: 'secrets', singular: 'secret', namespaced: true },
  {
    group: '',
    versions: ['v1'],
    kind: 'Service',
    plural: 'services',
    singular: 'service',
    shortNames: ['svc'],
    categories: ['all'],
    namespaced: true,
    status: true,
  },
  {
    group: 'apps',
    versions: ['v1'],
    kind: 'Deployment',
    plural: 'deployments',
    singular: 'deployment',
    shortNames: ['deploy'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec-or-annotations',
    immutable: ['spec.selector'],
  },
  {
    group: 'apps',
    versions: ['v1'],
    kind: 'ReplicaSet',
    plural: 'replicasets',
    singular: 'replicaset',
    shortNames: ['rs'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
    immutable: ['spec.selector'],
  },
  {
    group: 'apps',
    versions: ['v1'],
    kind: 'StatefulSet',
    plural: 'statefulsets',
    singular: 'statefulset',
    shortNames: ['sts'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
    immutable: ['spec.selector', 'spec.serviceName', 'spec.podManagementPolicy'],
  },
  {
    group: 'apps',
    versions: ['v1'],
    kind: 'DaemonSet',
    plural: 'daemonsets',
    singular: 'daemonset',
    shortNames: ['ds'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
    immutable: ['spec.selector'],
  },
  {
    group: 'apps',
    versions: ['v1'],
    kind: 'ControllerRevision',
    plural: 'controllerrevisions',
    singular: 'controllerrevision',
    namespaced: true,
  },
  {
    group: 'rbac.authorization.k8s.io',
    versions: ['v1'],
    kind: 'Role',
    plural: 'roles',
    singular: 'role',
    namespaced: true,
  },
  {
    group: 'rbac.authorization.k8s.io',
    versions: ['v1'],
    kind: 'RoleBinding',
    plural: 'rolebindings',
    singular: 'rolebinding',
    namespaced: true,
    immutable: ['roleRef'],
  },
  {
    group: 'rbac.authorization.k8s.io',
    versions: ['v1'],
    kind: 'ClusterRole',
    plural: 'clusterroles',
    singular: 'clusterrole',
    namespaced: false,
  },
  {
    group: 'rbac.authorization.k8s.io',
    versions: ['v1'],
    kind: 'ClusterRoleBinding',
    plural: 'clusterrolebindings',
    singular: 'clusterrolebinding',
    namespaced: false,
    immutable: ['roleRef'],
  },
  {
    group: 'storage.k8s.io',
    versions: ['v1'],
    kind: 'CSIDriver',
    plural: 'csidrivers',
    singular: 'csidriver',
    namespaced: false,
  },
  {
    group: 'batch',
    versions: ['v1'],
    kind: 'Job',
    plural: 'jobs',
    singular: 'job',
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
    immutable: ['spec.selector', 'spec.completions', 'spec.template'],
  },
  {
    group: 'batch',
    versions: ['v1'],
    kind: 'CronJob',
    plural: 'cronjobs',
    singular: 'cronjob',
    shortNames: ['cj'],
    categories: ['all'],
    namespaced: true,
    status: true,
    generation: 'spec',
  },
  {
    group: 'policy',
    versions: ['v1'],
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    singular: 'poddisruptionbudget',
    shortNames: ['pdb'],
    namespaced: true,
    status: true,
    generation: 'spec',
  },
];

/** API groups → the versions to serve of them. An empty list: the group is not installed. */
export type ServedVersions = Readonly<Record<string, readonly string[]>>;

/** The kinds of one cluster, found by path or by what an object says of itself. */
export class Resources {
  readonly all: readonly Resource[];

  constructor(served: ServedVersions = {}, further: readonly Resource[] = []) {
    this.all = [...BUILT_IN, ...CUSTOM_RESOURCES.map(customResource), ...further]
      .map((resource) => ({ ...resource, versions: served[resource.group] ?? resource.versions }))
      .filter((resource) => resource.versions.length > 0);
  }

  byPath(group: string, version: string, plural: string): Resource | undefined {
    return this.all.find((one) => one.group === group && one.plural === plural && one.versions.includes(version));
  }

  /** @param apiVersion `v1`, `apps/v1`, … */
  byKind(apiVersion: string, kind: string): Resource | undefined {
    const { group, version } = parseApiVersion(apiVersion);
    return this.all.find((one) => one.group === group && one.kind === kind && one.versions.includes(version));
  }

  /** @throws Error when the cluster does not have it: only for kinds that the sandbox itself relies on */
  named(plural: string): Resource {
    const found = this.all.find((one) => one.plural === plural);
    if (found === undefined) throw new Error(`this cluster serves no ${plural}`);
    return found;
  }
}

function customResource({ spec: { group, names, scope, versions } }: CustomResourceDefinition): Resource {
  const [stored] = versions;
  if (stored === undefined) throw new Error(`${names.plural} have no version`);
  return {
    group,
    versions: versions.map(({ name }) => name),
    kind: names.kind,
    plural: names.plural,
    singular: names.singular,
    shortNames: names.shortNames,
    ...(names.categories.length > 0 ? { categories: names.categories } : {}),
    namespaced: scope === 'Namespaced',
    custom: true,
    generation: 'anything',
    schema: stored.schema.openAPIV3Schema,
    ...('status' in stored.subresources ? { status: true } : {}),
  };
}

function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  if (slash < 0) return { group: '', version: apiVersion };
  return { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

export function apiVersionOf(resource: Resource, version = resource.versions[0]): string {
  return resource.group === '' ? `${version}` : `${resource.group}/${version}`;
}
