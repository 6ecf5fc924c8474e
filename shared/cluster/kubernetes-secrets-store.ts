import { type KubernetesObject, mapOf, msOf } from './kubernetes-objects.ts';
import type { Mount, SecretProviderClass } from './port.ts';

/** Kinds of the Secrets Store CSI driver, by the fields of its API (secrets-store-csi-driver, apis/v1). */

export interface SecretProviderClassObject extends KubernetesObject {
  readonly spec?: {
    readonly provider?: string;
    readonly parameters?: Readonly<Record<string, string>>;
    readonly secretObjects?: readonly {
      readonly secretName?: string;
      readonly data?: readonly { readonly objectName?: string }[];
    }[];
  };
}

export interface PodStatusObject extends KubernetesObject {
  readonly status?: {
    readonly podName?: string;
    readonly secretProviderClassName?: string;
    readonly mounted?: boolean;
    readonly objects?: readonly { readonly id?: string; readonly version?: string }[];
  };
}

export function secretProviderClassOf({ metadata, spec }: SecretProviderClassObject): SecretProviderClass {
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    provider: spec?.provider ?? '',
    parameters: mapOf(spec?.parameters),
    syncedSecrets: (spec?.secretObjects ?? []).map(({ secretName = '', data = [] }) => ({
      name: secretName.trim(),
      files: data.map(({ objectName = '' }) => objectName.trim()),
    })),
  };
}

export function mountOf({ metadata, status }: PodStatusObject): Mount {
  const firstMountedAtMs = msOf(metadata?.creationTimestamp);
  const changes = (metadata?.managedFields ?? []).map(({ time }) => msOf(time));
  return {
    namespace: metadata?.namespace ?? '',
    pod: status?.podName ?? '',
    podUid: metadata?.ownerReferences?.find(({ kind }) => kind === 'Pod')?.uid,
    secretProviderClass: status?.secretProviderClassName ?? '',
    mounted: status?.mounted === true,
    firstMountedAtMs,
    changedAtMs: Math.max(firstMountedAtMs, ...changes),
    versions: new Map((status?.objects ?? []).map(({ id = '', version = '' }) => [id, version])),
  };
}
