import { APPLY, type KubernetesClient } from './api-client.ts';
import type { ObjectInput } from './objects.ts';

/** @throws Error with what the server says of the first that it does not create */
export async function createObjects(api: KubernetesClient, objects: readonly ObjectInput[]): Promise<void> {
  for (const object of objects) {
    const { code, body } = await api.create(collectionOf(object), object);
    if (code !== 201) throw new Error(`creating ${object.kind} ${object.metadata?.name}: ${code} ${body.message}`);
  }
}

/**
 * Creates, or merges into what is there, as `kubectl apply --server-side --force-conflicts`.
 * @throws Error with what the server says of the first that it does not take
 */
export async function applyObjects(api: KubernetesClient, objects: readonly ObjectInput[]): Promise<void> {
  for (const object of objects) {
    const path = `${pathOf(object)}?fieldManager=team&force=true`;
    const { code, body } = await api.patch(path, APPLY, JSON.stringify(object));
    if (code > 201) throw new Error(`applying ${object.kind} ${object.metadata?.name}: ${code} ${body.message}`);
  }
}

export const pathOf = (object: ObjectInput): string => `${collectionOf(object)}/${object.metadata?.name}`;

const CLUSTER_WIDE = [
  'Namespace',
  'ClusterExternalSecret',
  'ClusterSecretStore',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
  'ValidatingWebhookConfiguration',
];

/** The path of the collection that the object belongs to. */
export function collectionOf({ apiVersion, kind, metadata }: ObjectInput): string {
  const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const where = CLUSTER_WIDE.includes(kind) ? '' : `/namespaces/${metadata?.namespace}`;
  const plural = kind.toLowerCase().replace(/y$/, 'ie').replace(/s$/, 'se');
  return `${root}${where}/${plural}s`;
}
