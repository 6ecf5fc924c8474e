import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { AwsError } from '../service.ts';

/**
 * EventBridge's event patterns: which events a rule wants.
 * Semantics from the EventBridge User Guide ("Comparison operators", "Arrays", "Null values and empty strings") and
 * the README of aws/event-ruler. One difference: numbers are compared by value, so 300 and 3.0e2 are equal here.
 */
export interface EventPattern {
  readonly fields: ReadonlyMap<string, Field>;
  /** Of each inner list at least one pattern must match: `$or`. */
  readonly alternatives: readonly (readonly EventPattern[])[];
}

type Field =
  | { readonly kind: 'nested'; readonly pattern: EventPattern }
  | { readonly kind: 'leaf'; readonly tests: readonly Test[] };

type Scalar = string | number | boolean | null;
type Test =
  | { readonly kind: 'value'; readonly accepts: (value: Scalar) => boolean }
  | { readonly kind: 'exists'; readonly wanted: boolean };

/** @throws AwsError InvalidEventPatternException */
export function parsePattern(text: string): EventPattern {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw invalid('It is not valid JSON');
  }
  if (!isObject(json)) throw invalid('Filter is not an object');
  return parseObject(json);
}

export function matchesPattern(pattern: EventPattern, event: object): boolean {
  const members = event as Record<string, unknown>;
  return (
    [...pattern.fields].every(([name, field]) => matchesField(field, members[name])) &&
    pattern.alternatives.every((alternatives) => alternatives.some((one) => matchesPattern(one, event)))
  );
}

function matchesField(field: Field, value: unknown): boolean {
  const elements = [value].flat(Number.POSITIVE_INFINITY).filter((element) => element !== undefined);
  if (field.kind === 'nested') {
    // One element must satisfy the whole nested pattern: event-ruler's "array-consistent matching".
    const objects = elements.filter(isObject);
    return (objects.length > 0 ? objects : [{}]).some((object) => matchesPattern(field.pattern, object));
  }
  const leaves = elements.filter((element): element is Scalar => !isObject(element));
  return field.tests.some((test) =>
    test.kind === 'exists' ? leaves.length > 0 === test.wanted : leaves.some(test.accepts),
  );
}

function parseObject(json: Record<string, unknown>): EventPattern {
  if (Object.keys(json).length === 0) throw invalid('Empty objects are not allowed');
  const fields = new Map<string, Field>();
  const alternatives: EventPattern[][] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '$or' && Array.isArray(value) && value.length > 1 && value.every(isObject))
      alternatives.push(value.map(parseObject));
    else if (Array.isArray(value)) {
      if (value.length === 0) throw invalid('Empty arrays are not allowed');
      fields.set(name, { kind: 'leaf', tests: value.map(parseTest) });
    } else if (isObject(value)) fields.set(name, { kind: 'nested', pattern: parseObject(value) });
    else throw invalid(`"${name}" must be an object or an array`);
  }
  return { fields, alternatives };
}

function parseTest(json: unknown): Test {
  if (isScalar(json)) return { kind: 'value', accepts: (value) => value === json };
  if (!isObject(json)) throw invalid('Match value must be String, number, true, false, or null');
  const [type, operand] = onlyEntry(json);
  if (type === 'exists') {
    if (typeof operand !== 'boolean') throw invalid('exists match pattern must be either true or false');
    return { kind: 'exists', wanted: operand };
  }
  return { kind: 'value', accepts: type === 'anything-but' ? parseAnythingBut(operand) : parseMatch(type, operand) };
}

function parseMatch(type: string, operand: unknown): (value: Scalar) => boolean {
  switch (type) {
    case 'prefix':
      return parseAffix(type, operand, (value, affix) => value.startsWith(affix));
    case 'suffix':
      return parseAffix(type, operand, (value, affix) => value.endsWith(affix));
    case 'equals-ignore-case': {
      const wanted = text(type, operand).toLowerCase();
      return (value) => typeof value === 'string' && value.toLowerCase() === wanted;
    }
    case 'wildcard': {
      const expression = parseWildcard(text(type, operand));
      return (value) => typeof value === 'string' && expression.test(value);
    }
    case 'numeric':
      return parseNumeric(operand);
    case 'cidr':
      return parseCidr(text(type, operand));
    default:
      throw invalid(`Unrecognized match type ${type}`);
  }
}

/** `"x"` or `{ "equals-ignore-case": "x" }`. */
function parseAffix(
  type: string,
  operand: unknown,
  compare: (value: string, affix: string) => boolean,
): (value: Scalar) => boolean {
  if (!isObject(operand)) {
    const affix = text(type, operand);
    return (value) => typeof value === 'string' && compare(value, affix);
  }
  const [inner, innerOperand] = onlyEntry(operand);
  if (inner !== 'equals-ignore-case') throw invalid(`Unsupported ${type} pattern: ${inner}`);
  const affix = text(inner, innerOperand).toLowerCase();
  return (value) => typeof value === 'string' && compare(value.toLowerCase(), affix);
}

const NEGATABLE = ['prefix', 'suffix', 'equals-ignore-case', 'wildcard'];

/** A value, a list of values of one type, or one of the {@link NEGATABLE} matches with one text or a list. */
function parseAnythingBut(operand: unknown): (value: Scalar) => boolean {
  if (isObject(operand)) {
    const [type, inner] = onlyEntry(operand);
    if (!NEGATABLE.includes(type)) throw invalid(`Unsupported anything-but pattern: ${type}`);
    const matches = [inner].flat().map((each) => parseMatch(type, each));
    return (value) => !matches.some((accepts) => accepts(value));
  }
  const excluded: unknown[] = [operand].flat();
  const types = new Set(excluded.map((each) => typeof each));
  if (types.size !== 1 || (!types.has('string') && !types.has('number')))
    throw invalid('Inside anything but list, either all values are number or string, mixed type is not supported');
  return (value) => !excluded.includes(value);
}

/** `*` stands for any number of characters; `\*` and `\\` for themselves. */
function parseWildcard(wildcard: string): RegExp {
  if (/(?<!\\)(?:\\\\)*\*\*/.test(wildcard)) throw invalid('Consecutive wildcard characters');
  const source = wildcard.replace(/\\(.?)|\*|[\s\S]/g, (part, escaped?: string) => {
    if (part === '*') return '[\\s\\S]*';
    if (escaped === undefined) return literal(part);
    if (escaped !== '*' && escaped !== '\\') throw invalid('Invalid escape character');
    return literal(escaped);
  });
  return new RegExp(`^${source}$`);
}

/** One character as a regular expression that matches only it. */
function literal(character: string): string {
  return /\w/.test(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const COMPARISONS: Readonly<Record<string, (left: number, right: number) => boolean>> = {
  '=': (left, right) => left === right,
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
};
/** EventBridge User Guide, "Numeric matching": between -5.0e9 and +5.0e9. */
const NUMERIC_LIMIT = 5e9;

/** `["=", 5]`, one bound, or a lower and an upper one. */
function parseNumeric(operand: unknown): (value: Scalar) => boolean {
  if (!Array.isArray(operand) || (operand.length !== 2 && operand.length !== 4))
    throw invalid('Value of numeric must be an array of one or two comparisons');
  const bounds: { operator: string; compare: (left: number, right: number) => boolean; bound: number }[] = [];
  for (let at = 0; at < operand.length; at += 2) {
    const [operator, bound] = [operand[at], operand[at + 1]];
    const compare = COMPARISONS[String(operator)];
    if (!compare) throw invalid(`Unrecognized numeric range operator: ${String(operator)}`);
    if (typeof bound !== 'number' || Math.abs(bound) > NUMERIC_LIMIT)
      throw invalid(`Value must be between ${-NUMERIC_LIMIT} and ${NUMERIC_LIMIT}`);
    bounds.push({ operator: String(operator), compare, bound });
  }
  const [lower, upper] = bounds;
  if (lower && upper && !(lower.operator.startsWith('>') && upper.operator.startsWith('<')))
    throw invalid('A numeric range needs a lower and then an upper bound');
  if (lower && upper && lower.bound >= upper.bound) throw invalid('Bottom must be less than top');
  return (value) => typeof value === 'number' && bounds.every(({ compare, bound }) => compare(value, bound));
}

function parseCidr(cidr: string): (value: Scalar) => boolean {
  const [address = '', length = ''] = cidr.split('/');
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
  if (!family || !/^\d{1,3}$/.test(length) || Number(length) > (family === 'ipv4' ? 32 : 128))
    throw invalid(`Malformed CIDR, one '/' required: ${cidr}`);
  const block = new BlockList();
  block.addSubnet(address, Number(length), family);
  return (value) =>
    typeof value === 'string' &&
    ((isIPv4(value) && block.check(value)) || (isIPv6(value) && block.check(value, 'ipv6')));
}

function onlyEntry(object: Record<string, unknown>): [string, unknown] {
  const entries = Object.entries(object);
  const [only] = entries;
  if (!only || entries.length > 1) throw invalid('Only one key allowed in match expression');
  return only;
}

function text(type: string, operand: unknown): string {
  if (typeof operand !== 'string') throw invalid(`${type} match pattern must be a string`);
  return operand;
}

function isScalar(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason: string): AwsError {
  return new AwsError('InvalidEventPatternException', `Event pattern is not valid. Reason: ${reason}`);
}
