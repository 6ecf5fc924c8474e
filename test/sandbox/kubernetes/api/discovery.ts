import { apiVersionOf, type Resources } from './resources.ts';

/** The version that the sandbox follows. */
export const VERSION = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.3-rekey-sandbox',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'none: a simulation on Node',
  compiler: 'none',
  platform: 'linux/amd64',
} as const;

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;

/** Kinds that only answer a question: nothing of them is stored. */
export const REVIEWS = [
  { group: 'authorization.k8s.io', version: 'v1', kind: 'SelfSubjectAccessReview', plural: 'selfsubjectaccessreviews' },
  { group: 'authorization.k8s.io', version: 'v1', kind: 'SelfSubjectRulesReview', plural: 'selfsubjectrulesreviews' },
  { group: 'authentication.k8s.io', version: 'v1', kind: 'SelfSubjectReview', plural: 'selfsubjectreviews' },
] as const;

/** The documents under /version, /api, /apis and /openapi that tell a client what there is. */
export function discoveryDocument(resources: Resources, path: string, endpoint: string): object | undefined {
  if (path === '/version' || path === '/version/') return VERSION;
  if (path === '/api') {
    return {
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: endpoint }],
    };
  }
  const groups = groupVersions(resources);
  if (path === '/apis') {
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [...groups].filter(([name]) => name !== '').map(([name, versions]) => apiGroup(name, versions)),
    };
  }
  if (path === '/openapi/v3') {
    const paths = [...groups].flatMap(([group, versions]) =>
      versions.map((version) => (group === '' ? `api/${version}` : `apis/${group}/${version}`)),
    );
    return {
      paths: Object.fromEntries(paths.map((one) => [one, { serverRelativeURL: `/openapi/v3/${one}?hash=1` }])),
    };
  }

  const match = /^(\/openapi\/v3)?\/(?:api|apis\/([^/]+))(?:\/([^/]+))?$/.exec(path);
  if (match === null) return undefined;
  const [, openApi, group = '', version] = match;
  const versions = groups.get(group);
  if (versions === undefined) return undefined;
  if (version === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(group, versions) };
  if (!versions.includes(version)) return undefined;
  return openApi ? openApiDocument(resources, group, version) : resourceList(resources, group, version);
}

function groupVersions(resources: Resources): Map<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>();
  for (const { group, versions } of resources.all) {
    groups.set(group, [...new Set([...(groups.get(group) ?? []), ...versions])]);
  }
  for (const { group, version } of REVIEWS) groups.set(group, [version]);
  return groups;
}

function apiGroup(name: string, versions: readonly string[]): object {
  const list = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

function resourceList(resources: Resources, group: string, version: string): object {
  const served = resources.all.filter((one) => one.group === group && one.versions.includes(version));
  const reviews = REVIEWS.filter((one) => one.group === group && one.version === version);
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? version : `${group}/${version}`,
    resources: [
      ...served.flatMap((one) => [
        {
          name: one.plural,
          singularName: one.singular,
          namespaced: one.namespaced,
          kind: one.kind,
          verbs: VERBS,
          ...(one.shortNames?.length ? { shortNames: one.shortNames } : {}),
          ...(one.categories ? { categories: one.categories } : {}),
        },
        ...(one.status
          ? [
              {
                name: `${one.plural}/status`,
                singularName: '',
                namespaced: one.namespaced,
                kind: one.kind,
                verbs: ['get', 'patch', 'update'],
              },
            ]
          : []),
      ]),
      ...reviews.map((one) => ({
        name: one.plural,
        singularName: one.kind.toLowerCase(),
        namespaced: false,
        kind: one.kind,
        verbs: ['create'],
      })),
    ],
  };
}

/**
 * Just enough of OpenAPI v3 for kubectl to see that the server takes `fieldValidation` itself, so that it sends
 * manifests without a schema of its own. The sandbox has no schemas and does not look for unknown fields.
 */
function openApiDocument(resources: Resources, group: string, version: string): object {
  const served = resources.all.filter((one) => one.group === group && one.versions.includes(version));
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: VERSION.gitVersion },
    paths: Object.fromEntries(
      served.map((one) => [
        `/${group === '' ? 'api' : 'apis'}/${apiVersionOf(one, version)}/${one.namespaced ? 'namespaces/{namespace}/' : ''}${one.plural}/{name}`,
        {
          patch: {
            'x-kubernetes-action': 'patch',
            'x-kubernetes-group-version-kind': { group, version, kind: one.kind },
            parameters: [
              { name: 'fieldValidation', in: 'query', schema: { type: 'string', uniqueItems: true } },
              { name: 'dryRun', in: 'query', schema: { type: 'string', uniqueItems: true } },
            ],
            responses: { 200: { description: 'OK' } },
          },
        },
      ]),
    ),
    components: { schemas: {} },
  };
}
