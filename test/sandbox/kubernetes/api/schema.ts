import type { Schema } from '../custom-resources/definition.ts';
import { isRecord, type KubernetesObject } from '../objects.ts';
import type { StatusCause } from './status-error.ts';

/** Drops what a structural schema does not know and fills in its defaults, as apiextensions does before it validates. */
export function applySchema(schema: Schema, object: KubernetesObject): void {
  // The server's own, which no schema describes, is the metadata.
  const { metadata: _metadata, ...described } = object;
  prune(schema, described);
  fillIn(schema, described);
  for (const name of Object.keys(object)) if (!(name in described) && name !== 'metadata') delete object[name];
  Object.assign(object, described);
}

/** Where an object is not of the schema's types. */
export function schemaCauses(schema: Schema, { metadata: _metadata, ...object }: KubernetesObject): StatusCause[] {
  return causesIn(schema, object, '');
}

function prune(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) if (schema.items) prune(schema.items, item);
    return;
  }
  if (!isRecord(value)) return;
  for (const [name, field] of Object.entries(value)) {
    const known = schema.properties?.[name] ?? schema.additionalProperties;
    if (known) prune(known, field);
    else if (!schema['x-kubernetes-preserve-unknown-fields']) delete value[name];
  }
}

function fillIn(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) if (schema.items) fillIn(schema.items, item);
    return;
  }
  if (!isRecord(value)) return;
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const present = value[name];
    // A null counts as missing where there is a default.
    if ((present === undefined || present === null) && field.default !== undefined)
      value[name] = structuredClone(field.default);
    fillIn(field, value[name]);
  }
  const { additionalProperties } = schema;
  if (additionalProperties) for (const field of Object.values(value)) fillIn(additionalProperties, field);
}

function causesIn(schema: Schema, value: unknown, at: string): StatusCause[] {
  if (schema['x-kubernetes-int-or-string'])
    return typeof value === 'string' || Number.isInteger(value) ? [] : [wrongType(at, 'integer,string', value)];
  if (schema.type !== undefined && typeOf(value) !== schema.type) return [wrongType(at, schema.type, value)];
  if (Array.isArray(value))
    return value.flatMap((item, index) => (schema.items ? causesIn(schema.items, item, `${at}[${index}]`) : []));
  if (isRecord(value)) return causesInObject(schema, value, at);
  if (typeof value !== 'string') return [];
  if (schema.enum && !schema.enum.includes(value)) {
    const supported = schema.enum.map((one) => JSON.stringify(one)).join(', ');
    const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`;
    return [{ reason: 'FieldValueNotSupported', message, field: at }];
  }
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) {
    const message = `Invalid value: ${JSON.stringify(value)}: ${at} in body must be of type date-time: ${JSON.stringify(value)}`;
    return [{ reason: 'FieldValueInvalid', message, field: at }];
  }
  return [];
}

function causesInObject(schema: Schema, value: Record<string, unknown>, at: string): StatusCause[] {
  const inside = (name: string) => (at === '' ? name : `${at}.${name}`);
  const { required = [], properties = {}, additionalProperties, minProperties = 0, maxProperties } = schema;
  const missing = required.filter((name) => value[name] === undefined);
  const number = Object.keys(value).length;
  const causes: StatusCause[] = missing.map((name) => ({
    reason: 'FieldValueRequired',
    message: 'Required value',
    field: inside(name),
  }));
  if (number < minProperties || (maxProperties !== undefined && number > maxProperties))
    causes.push({
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${at} in body should have ${minProperties} to ${maxProperties} properties`,
      field: at,
    });
  for (const [name, field] of Object.entries(value)) {
    const known = properties[name] ?? additionalProperties;
    if (known && field !== undefined) causes.push(...causesIn(known, field, inside(name)));
  }
  return causes;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (Number.isInteger(value)) return 'integer';
  return typeof value;
}

function wrongType(at: string, wanted: string, value: unknown): StatusCause {
  const found = JSON.stringify(typeOf(value));
  const message = `Invalid value: ${found}: ${at} in body must be of type ${wanted}: ${found}`;
  return { reason: 'FieldValueTypeInvalid', message, field: at };
}
