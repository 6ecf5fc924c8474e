import type { KubernetesObject, LabelSelector } from '../objects.ts';
import { badRequest } from './status-error.ts';

export type Predicate<T> = (value: T) => boolean;
type Labels = Readonly<Record<string, string>>;

const REQUIREMENT = /^\s*(!?)\s*([A-Za-z0-9./_-]+)\s*(?:(=|==|!=|in|notin)\s*(.*?))?\s*$/;

/** `app=web,tier in (a, b),!debug`, as `labelSelector` carries it. @throws StatusError 400 */
export function parseLabelSelector(text: string): Predicate<Labels> {
  const requirements = splitOutsideParentheses(text).map(parseRequirement);
  return (labels) => requirements.every((requirement) => requirement(labels));
}

function parseRequirement(text: string): Predicate<Labels> {
  const spaced = text.replace(/\s+(in|notin)\s*\(/, ' $1 (').replace(/(==|!=|=)/, ' $1 ');
  const [, not, name = '', operator, operand = ''] = REQUIREMENT.exec(spaced) ?? [];
  if (name === '') throw badRequest(`unable to parse requirement: ${text}`);
  const absent = not === '!';
  switch (operator) {
    case undefined:
      return (labels) => name in labels !== absent;
    case '=':
    case '==':
      return (labels) => labels[name] === operand;
    case '!=':
      return (labels) => labels[name] !== operand;
    default: {
      if (!/^\(.*\)$/.test(operand)) throw badRequest(`unable to parse requirement: ${text}`);
      const values = operand
        .slice(1, -1)
        .split(',')
        .map((value) => value.trim());
      if (operator === 'in') return (labels) => name in labels && values.includes(labels[name] ?? '');
      return (labels) => !values.includes(labels[name] ?? '') || !(name in labels);
    }
  }
}

function splitOutsideParentheses(text: string): string[] {
  return text.split(/,(?![^(]*\))/).filter((part) => part.trim() !== '');
}

/** `metadata.name=a,status.phase!=Running`; what the fields of a kind are is its own. @throws StatusError 400 */
export function parseFieldSelector(text: string, kind: string): Predicate<KubernetesObject> {
  const requirements = text
    .split(',')
    .filter((part) => part !== '')
    .map((part): Predicate<KubernetesObject> => {
      const [, path = '', operator, operand = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
      if (path === '') throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      if (!isSelectable(path, kind)) throw badRequest(`field label not supported: ${path}`);
      return (object) => (fieldAt(object, path) === operand) === (operator !== '!=');
    });
  return (object) => requirements.every((requirement) => requirement(object));
}

const SELECTABLE: Readonly<Record<string, readonly string[]>> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Event: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  Namespace: ['status.phase'],
  Node: ['spec.unschedulable'],
  ReplicaSet: ['status.replicas'],
  Secret: ['type'],
};

function isSelectable(path: string, kind: string): boolean {
  return path === 'metadata.name' || path === 'metadata.namespace' || (SELECTABLE[kind]?.includes(path) ?? false);
}

function fieldAt(object: KubernetesObject, path: string): string {
  let value: unknown = object;
  for (const name of path.split('.')) {
    value = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  }
  return value === undefined || value === null ? '' : String(value);
}

/** The selector of a workload. An empty one matches everything, as the API defines it. */
export function matchesSelector(selector: LabelSelector, labels: Labels = {}): boolean {
  const equal = Object.entries(selector.matchLabels ?? {}).every(([name, value]) => labels[name] === value);
  return (
    equal &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
      }
      return operator satisfies never;
    })
  );
}
