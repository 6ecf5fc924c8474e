/**
 * How lists of built-in kinds merge, by the name of their field: by the key of their entries, as sets, or (all
 * others) as one value. From the `patchMergeKey` and `listType` markers of the API's types.
 */
export type ListMerge =
  | { readonly kind: 'keyed'; readonly keys: readonly [string, ...string[]] }
  | { readonly kind: 'set' };

const keyed = (...keys: [string, ...string[]]): ListMerge => ({ kind: 'keyed', keys });

const LISTS: Readonly<Record<string, ListMerge>> = {
  containers: keyed('name'),
  initContainers: keyed('name'),
  ephemeralContainers: keyed('name'),
  volumes: keyed('name'),
  env: keyed('name'),
  volumeMounts: keyed('mountPath'),
  volumeDevices: keyed('devicePath'),
  ports: keyed('containerPort', 'protocol'),
  imagePullSecrets: keyed('name'),
  hostAliases: keyed('ip'),
  topologySpreadConstraints: keyed('topologyKey', 'whenUnsatisfiable'),
  conditions: keyed('type'),
  ownerReferences: keyed('uid'),
  podIPs: keyed('ip'),
  hostIPs: keyed('ip'),
  secrets: keyed('name'),
  resourceClaims: keyed('name'),
  finalizers: { kind: 'set' },
};

/** Services key their ports by `port`: the one field name that two kinds use differently. */
const SERVICE_PORTS = keyed('port', 'protocol');

/** @param holder the object that has the list */
export function listMerge(field: string, holder: Record<string, unknown>): ListMerge | undefined {
  if (field === 'ports' && !('name' in holder)) return SERVICE_PORTS;
  return Object.hasOwn(LISTS, field) ? LISTS[field] : undefined;
}

/** The values by which an entry of a keyed list is found, with the defaults that the API gives them. */
export function entryKey(how: ListMerge & { kind: 'keyed' }, entry: Record<string, unknown>): Record<string, unknown> {
  const pairs = how.keys.map((key) => [key, entry[key] ?? (key === 'protocol' ? 'TCP' : undefined)] as const);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}
