import { isRecord, type KubernetesObject, type LabelSelector, sameJson } from '../objects.ts';
import type { Resource } from './resources.ts';
import { schemaCauses } from './schema.ts';
import { matchesSelector } from './selectors.ts';
import { invalid, type StatusCause } from './status-error.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
/** Of all keys and values together. */
const ANNOTATIONS_LIMIT = 256 * 1024;

/** Everything that is wrong with an object that somebody wants stored. @throws StatusError 422 */
export function validate(resource: Resource, object: KubernetesObject, live: KubernetesObject | undefined): void {
  const causes = [
    ...nameCauses(resource, object),
    ...labelCauses('metadata.labels', object.metadata.labels ?? {}),
    ...annotationCauses('metadata.annotations', object.metadata.annotations ?? {}),
    ...workloadCauses(object),
    ...(resource.schema ? schemaCauses(resource.schema, object) : []),
    ...(live ? immutableCauses(resource, object, live) : []),
  ];
  if (causes.length > 0) throw invalid(resource, object.metadata.name, causes);
}

function nameCauses(resource: Resource, object: KubernetesObject): StatusCause[] {
  const { name } = object.metadata;
  if (name === '') {
    return [cause('FieldValueRequired', 'Required value: name or generateName is required', 'metadata.name')];
  }
  // Roles and bindings carry names such as `system:discovery`.
  if (resource.group === 'rbac.authorization.k8s.io') {
    return /^[^/%]+$/.test(name)
      ? []
      : [cause('FieldValueInvalid', `Invalid value: "${name}": may not contain '/' or '%'`, 'metadata.name')];
  }
  if (resource.kind === 'Namespace') {
    if (name.length <= 63 && DNS_LABEL.test(name)) return [];
    return [
      cause(
        'FieldValueInvalid',
        `Invalid value: "${name}": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
        'metadata.name',
      ),
    ];
  }
  if (name.length <= 253 && DNS_SUBDOMAIN.test(name)) return [];
  return [
    cause(
      'FieldValueInvalid',
      `Invalid value: "${name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      'metadata.name',
    ),
  ];
}

function labelCauses(field: string, labels: Record<string, string>): StatusCause[] {
  return Object.entries(labels).flatMap(([name, value]) => [
    ...qualifiedNameCauses(field, name),
    ...(typeof value === 'string' && value.length <= 63 && LABEL_VALUE.test(value)
      ? []
      : [
          cause(
            'FieldValueInvalid',
            `Invalid value: ${JSON.stringify(value)}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
            field,
          ),
        ]),
  ]);
}

function annotationCauses(field: string, annotations: Record<string, string>): StatusCause[] {
  const causes = Object.keys(annotations).flatMap((name) => qualifiedNameCauses(field, name.toLowerCase(), name));
  const bytes = Object.entries(annotations).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(String(value)),
    0,
  );
  if (bytes > ANNOTATIONS_LIMIT) {
    causes.push(cause('FieldValueTooLong', `Too long: may not be more than ${ANNOTATIONS_LIMIT} bytes`, field));
  }
  return causes;
}

/** A key is `name` or `prefix/name`: the prefix a DNS subdomain, the name at most 63 characters. */
function qualifiedNameCauses(field: string, name: string, shown = name): StatusCause[] {
  const parts = name.split('/');
  const [prefix, rest] = parts.length === 1 ? [undefined, name] : parts;
  const wrong = (why: string) => [cause('FieldValueInvalid', `Invalid value: ${JSON.stringify(shown)}: ${why}`, field)];
  if (parts.length > 2) {
    return wrong(
      `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    );
  }
  if (prefix !== undefined) {
    if (prefix === '') return wrong('prefix part must be non-empty');
    if (prefix.length > 253 || !DNS_SUBDOMAIN.test(prefix)) {
      return wrong(
        `prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      );
    }
  }
  if (rest === undefined || rest === '') return wrong('name part must be non-empty');
  if (rest.length > 63) return wrong('name part must be no more than 63 bytes');
  if (!QUALIFIED_NAME.test(rest)) {
    return wrong(
      `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    );
  }
  return [];
}

const WORKLOADS = new Set(['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet']);

function workloadCauses(object: KubernetesObject): StatusCause[] {
  const spec = isRecord(object['spec']) ? object['spec'] : {};
  if (object.kind === 'Pod') return podSpecCauses('spec', spec);
  if (!WORKLOADS.has(object.kind)) return [];

  const template = isRecord(spec['template']) ? spec['template'] : {};
  const metadata: { labels?: Record<string, string>; annotations?: Record<string, string> } = isRecord(
    template['metadata'],
  )
    ? template['metadata']
    : {};
  const podSpec = isRecord(template['spec']) ? template['spec'] : {};
  const causes: StatusCause[] = [];
  const { selector } = spec;
  if (!isRecord(selector)) causes.push(cause('FieldValueRequired', 'Required value', 'spec.selector'));
  else if (!matchesSelector(selector as LabelSelector, metadata.labels)) {
    causes.push(
      cause(
        'FieldValueInvalid',
        `Invalid value: ${JSON.stringify(metadata.labels ?? null)}: \`selector\` does not match template \`labels\``,
        'spec.template.metadata.labels',
      ),
    );
  }
  const { replicas } = spec;
  if (typeof replicas === 'number' && replicas < 0) {
    causes.push(
      cause('FieldValueInvalid', `Invalid value: ${replicas}: must be greater than or equal to 0`, 'spec.replicas'),
    );
  }
  return [
    ...causes,
    ...labelCauses('spec.template.labels', metadata.labels ?? {}),
    ...annotationCauses('spec.template.annotations', metadata.annotations ?? {}),
    ...podSpecCauses('spec.template.spec', podSpec),
  ];
}

function podSpecCauses(field: string, spec: Record<string, unknown>): StatusCause[] {
  const containers = Array.isArray(spec['containers']) ? spec['containers'] : [];
  const volumes = Array.isArray(spec['volumes']) ? spec['volumes'].filter(isRecord).map((one) => one['name']) : [];
  if (containers.length === 0) return [cause('FieldValueRequired', 'Required value', `${field}.containers`)];
  return containers.filter(isRecord).flatMap((container, index) => {
    const at = `${field}.containers[${index}]`;
    const mounts = Array.isArray(container['volumeMounts']) ? container['volumeMounts'].filter(isRecord) : [];
    return [
      ...(typeof container['name'] === 'string' && container['name'] !== ''
        ? []
        : [cause('FieldValueRequired', 'Required value', `${at}.name`)]),
      ...(typeof container['image'] === 'string' && container['image'] !== ''
        ? []
        : [cause('FieldValueRequired', 'Required value', `${at}.image`)]),
      ...mounts.flatMap((mount, mountIndex) =>
        volumes.includes(mount['name'])
          ? []
          : [
              cause(
                'FieldValueNotFound',
                `Not found: ${JSON.stringify(mount['name'])}`,
                `${at}.volumeMounts[${mountIndex}].name`,
              ),
            ],
      ),
    ];
  });
}

function immutableCauses(resource: Resource, object: KubernetesObject, live: KubernetesObject): StatusCause[] {
  return (resource.immutable ?? []).flatMap((path) => {
    const value = at(object, path);
    if (sameJson(value, at(live, path))) return [];
    return [cause('FieldValueInvalid', `Invalid value: ${JSON.stringify(value)}: field is immutable`, path)];
  });
}

function at(object: unknown, path: string): unknown {
  let value = object;
  for (const name of path.split('.')) value = isRecord(value) ? value[name] : undefined;
  return value;
}

function cause(reason: string, message: string, field: string): StatusCause {
  return { reason, message, field };
}
