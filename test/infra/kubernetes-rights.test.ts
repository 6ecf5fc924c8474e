import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

const documents = parseAllDocuments(readFileSync('infra/kubernetes/base/rekey.yaml', 'utf8')).map((each) =>
  each.toJS(),
);
const roles: { metadata: { name: string }; rules: Rule[] }[] = documents.filter(({ kind }) => kind === 'ClusterRole');
const bindings: { roleRef: { name: string }; subjects: { kind: string; name: string }[] }[] = documents.filter(
  ({ kind }) => kind === 'ClusterRoleBinding',
);
const rules = roles.flatMap((role) => role.rules);

/** `verb group/resource`, of every role that a group is bound to. */
const rightsOf = (group: string) =>
  bindings
    .filter(({ subjects }) => subjects.some(({ kind, name }) => kind === 'Group' && name === group))
    .flatMap(({ roleRef }) =>
      roles.filter(({ metadata }) => metadata.name === roleRef.name).flatMap((role) => role.rules),
    )
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((api) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${api}/${resource}`))),
    )
    .sort();

const LOOK = [
  'get /pods',
  'get apps/daemonsets',
  'get apps/deployments',
  'get apps/replicasets',
  'get apps/statefulsets',
  'get argoproj.io/rollouts',
  'get batch/cronjobs',
  'get batch/jobs',
  'get external-secrets.io/clusterexternalsecrets',
  'get external-secrets.io/clustersecretstores',
  'get external-secrets.io/externalsecrets',
  'get external-secrets.io/secretstores',
  'get secrets-store.csi.x-k8s.io/secretproviderclasses',
  'get secrets-store.csi.x-k8s.io/secretproviderclasspodstatuses',
];
const LIST = LOOK.map((right) => right.replace('get', 'list'));
const MARK = [
  'patch apps/daemonsets',
  'patch apps/deployments',
  'patch apps/statefulsets',
  'patch argoproj.io/rollouts',
];
const FORCE_SYNC = ['patch external-secrets.io/clusterexternalsecrets', 'patch external-secrets.io/externalsecrets'];
const EVICT = ['create /pods/eviction'];
const NOTE = ['create /events', 'patch /events'];

describe('rights in Kubernetes', () => {
  test('of rekey are to look, to patch workloads and ExternalSecrets, to evict pods and to write Events', () => {
    expect(rightsOf('rekey')).toEqual([...LOOK, ...LIST, ...MARK, ...FORCE_SYNC, ...EVICT, ...NOTE].sort());
  });

  test('of rekey-sweep are to look', () => {
    expect(rightsOf('rekey-sweep')).toEqual([...LOOK, ...LIST].sort());
  });

  test('have nothing to do with Secrets', () => {
    expect(
      rules.filter(({ resources }) => resources.some((each) => each === 'secrets' || each.startsWith('secrets/'))),
    ).toEqual([]);
  });

  test('have no wildcard', () => {
    expect(JSON.stringify(rules)).not.toContain('*');
  });

  test('are given to these two groups alone', () => {
    const subjects = bindings.flatMap((binding) => binding.subjects.map(({ kind, name }) => `${kind} ${name}`));

    expect([...new Set(subjects)].sort()).toEqual(['Group rekey', 'Group rekey-sweep']);
  });
});
