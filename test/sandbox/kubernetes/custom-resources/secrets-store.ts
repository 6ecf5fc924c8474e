import { defineCustomResource, flag, listOf, object, text, textMap } from './definition.ts';

const GROUP = {
  group: 'secrets-store.csi.x-k8s.io',
  versions: ['v1', 'v1alpha1'],
  scope: 'Namespaced',
  // The driver creates the pod's status in one write: neither kind has a subresource for it.
  statusSubresource: false,
} as const;

/** What the Secrets Store CSI driver brings to a cluster, by the field names that it publishes (apis/v1). */
export const SECRETS_STORE = [
  defineCustomResource({
    ...GROUP,
    kind: 'SecretProviderClass',
    plural: 'secretproviderclasses',
    properties: {
      spec: object({
        provider: text,
        parameters: textMap,
        secretObjects: listOf(
          object({
            secretName: text,
            type: text,
            labels: textMap,
            annotations: textMap,
            data: listOf(object({ key: text, objectName: text })),
          }),
        ),
      }),
    },
  }),
  defineCustomResource({
    ...GROUP,
    kind: 'SecretProviderClassPodStatus',
    plural: 'secretproviderclasspodstatuses',
    properties: {
      status: object({
        mounted: flag,
        podName: text,
        secretProviderClassName: text,
        targetPath: text,
        objects: listOf(object({ id: text, version: text })),
      }),
    },
  }),
];
