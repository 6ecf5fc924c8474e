/** A structural schema, as far as the sandbox's definitions need it (apiextensions.k8s.io/v1 JSONSchemaProps). */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'boolean' | 'integer';
  readonly format?: 'date-time' | 'int32' | 'int64';
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly 'x-kubernetes-int-or-string'?: true;
}

export interface CustomResourceInput {
  readonly group: string;
  /** The stored one first; the others are served too. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  /** Of `spec`, `status` and whatever else it has beside its metadata. */
  readonly properties: Readonly<Record<string, Schema>>;
  /** Writes to the main resource leave the status alone, and the other way round. */
  readonly statusSubresource: boolean;
  readonly scaleSubresource?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath: string;
  };
}

export type CustomResourceDefinition = ReturnType<typeof defineCustomResource>;

/** The CustomResourceDefinition, as a real API server is given it; the sandbox's own server is made from it too. */
export function defineCustomResource(input: CustomResourceInput) {
  const { group, versions, kind, plural, scope, shortNames = [], categories = [], properties } = input;
  const openAPIV3Schema: Schema = {
    type: 'object',
    properties: { apiVersion: text, kind: text, metadata: { type: 'object' }, ...properties },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope,
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List`, shortNames, categories },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        ...(index === 0 ? {} : { deprecated: true }),
        schema: { openAPIV3Schema },
        subresources: {
          ...(input.statusSubresource ? { status: {} } : {}),
          ...(input.scaleSubresource ? { scale: input.scaleSubresource } : {}),
        },
      })),
    },
  };
}

export const text: Schema = { type: 'string' };
export const flag: Schema = { type: 'boolean' };
export const count: Schema = { type: 'integer', format: 'int32' };
export const time: Schema = { type: 'string', format: 'date-time' };
/** Fields that are kept and not looked at. */
export const anything: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
export const texts: Schema = { type: 'array', items: text };
export const textMap: Schema = { type: 'object', additionalProperties: text };

export function oneOf(...values: readonly string[]): Schema {
  return { type: 'string', enum: values };
}

export function withDefault(schema: Schema, value: unknown): Schema {
  return { ...schema, default: value };
}

export function object(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return { type: 'object', properties, ...(required.length > 0 ? { required } : {}) };
}

export function listOf(items: Schema): Schema {
  return { type: 'array', items };
}

export const labelSelector: Schema = object({
  matchLabels: textMap,
  matchExpressions: listOf(object({ key: text, operator: text, values: texts }, ['key', 'operator'])),
});
