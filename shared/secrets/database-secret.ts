import { isDeepStrictEqual } from 'node:util';
import type { Credentials } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { type Address, type DatabaseResource, sameAddress } from '../topology/port.ts';
import { type HostPolicy, hostFault } from './database-host.ts';
import type { EngineRules } from './engine-rules.ts';
import { parseSecretArn } from './secret-arn.ts';
import { SecretValue } from './secret-value.ts';
import { accepts, type SecretOptions } from './tags.ts';

/** The JSON of AWS's own rotation functions, checked. */
export interface ParsedSecret extends DatabaseLogin {
  readonly engine: string;
  readonly database: string;
  /** Where applications find the database. */
  readonly place: Place;
  /** False only where a tag allows it. */
  readonly encrypted: boolean;
  /** The whole ARN of the administrator's secret. */
  readonly masterArn: string | undefined;
  /** The text it was parsed from. */
  readonly source: SecretValue;
}

/** As the JSON says it: an address, or an instance or cluster whose address RDS knows. */
export type Place =
  | ({ readonly kind: 'address' } & Address)
  | { readonly kind: 'resource'; readonly resource: DatabaseResource; readonly port: number | undefined };

/** A secret, and with it the login at the address where Rekey works. */
export interface DatabaseSecret extends ParsedSecret, Credentials {}

export interface LoginContext {
  /** For messages: which version of which secret this is. */
  readonly what: string;
  readonly rules: EngineRules;
}

export interface SecretContext extends LoginContext {
  readonly hosts: HostPolicy;
  readonly options: Pick<SecretOptions, 'accept' | 'serverName'>;
}

export type DatabaseLogin = Pick<Credentials, 'username' | 'password'>;

/** Secrets Manager's own limit. */
const MAX_BYTES = 65_536;
const MAX_DEPTH = 32;
const MAX_KEYS = 1_000;
/** Keys that could reach a prototype in a less careful reader of the same secret. */
const FORBIDDEN_KEYS = ['__proto__', 'constructor', 'prototype'];

/**
 * @throws RekeyError SECRET_VALUE_INVALID or HOST_NOT_ALLOWED, naming the key that is wrong and never its value:
 *   with a misplaced comma the password may stand where the host should
 */
export function parseDatabaseSecret(source: SecretValue, context: SecretContext): ParsedSecret {
  const { rules, what } = context;
  const fields = readObject(source.expose(), what);
  const text = (key: string, fallback?: string) => textIn(fields, key, what, fallback);

  const engine = text('engine');
  if (!rules.engines.includes(engine))
    throw invalid(what, `"engine" must be ${rules.engines.map((name) => `"${name}"`).join(' or ')}`);

  return {
    engine,
    place: parsePlace(fields, context),
    database: fields.has('dbname') ? parseDatabaseName(text('dbname'), rules, what) : rules.defaultDatabase,
    ...parseLogin(fields, context),
    encrypted: parseEncryption(fields.get('ssl'), context),
    masterArn: fields.has('masterarn') ? parseMasterArn(text('masterarn'), what) : undefined,
    source,
  };
}

/**
 * The kind of database that a secret is for, as its JSON says it.
 * @throws RekeyError SECRET_VALUE_INVALID
 */
export function engineOf(source: SecretValue, what: string): string {
  return textIn(readObject(source.expose(), what), 'engine', what);
}

/**
 * What RDS keeps in a secret that it makes and rotates itself: a user name and a password, and no word of where.
 * @returns undefined for a value with other keys
 * @throws RekeyError SECRET_VALUE_INVALID as {@link parseDatabaseSecret}
 */
export function parseBareLogin(source: SecretValue, context: LoginContext): DatabaseLogin | undefined {
  const fields = readObject(source.expose(), context.what);
  const isBare = fields.size === 2 && fields.has('username') && fields.has('password');
  return isBare ? parseLogin(fields, context) : undefined;
}

/**
 * The same text with another login: every other character stays as it was, down to the order of keys and the way a
 * number is written.
 */
export function withLogin(secret: DatabaseSecret, login: DatabaseLogin): SecretValue {
  const source = secret.source.expose();
  const replacements = new Map([
    ['username', login.username],
    ['password', login.password.expose()],
  ]);
  let result = '';
  let copiedTo = 0;
  for (const { key, start, end } of topLevelMembers(source)) {
    const replacement = replacements.get(key);
    if (replacement === undefined) continue;
    result += source.slice(copiedTo, start) + JSON.stringify(replacement);
    copiedTo = end;
  }
  return new SecretValue(result + source.slice(copiedTo));
}

/** Whether two secrets lead applications and Rekey to the same address. */
export function sameServer(a: DatabaseSecret, b: DatabaseSecret): boolean {
  return sameAddress(a, b) && isDeepStrictEqual(a.place, b.place);
}

/** Whether two secrets hold the same user with the same password. */
export function sameLogin(a: DatabaseSecret, b: DatabaseSecret): boolean {
  return a.username === b.username && a.password.expose() === b.password.expose();
}

/** Why a user name cannot be used, or undefined. */
export function nameFault(name: string, rules: EngineRules): string | undefined {
  if (name === '') return 'is empty';
  if (Buffer.byteLength(name) > rules.maxNameBytes) return `is longer than ${rules.maxNameBytes} bytes`;
  if (!name.isWellFormed()) return 'is not well-formed Unicode';
  // Control, format and bidi characters cannot be seen, so two users would look alike in every list.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) return 'contains an invisible character';
  if (name.trim() !== name) return 'begins or ends with a space';
  if (rules.reservedUser.test(name)) return 'is a user that the platform keeps for itself';
  return undefined;
}

function parseLogin(fields: ReadonlyMap<string, unknown>, { what, rules }: LoginContext): DatabaseLogin {
  const username = textIn(fields, 'username', what);
  const userFault = nameFault(username, rules);
  if (userFault !== undefined) throw invalid(what, `"username" ${userFault}`);

  const password = textIn(fields, 'password', what);
  if (password.includes('\0')) throw invalid(what, '"password" must not contain a NUL character');
  return { username, password: new SecretValue(password) };
}

function textIn(fields: ReadonlyMap<string, unknown>, key: string, what: string, fallback?: string): string {
  const value = fields.get(key) ?? fallback;
  if (typeof value !== 'string' || value === '') throw invalid(what, `"${key}" must be a text that is not empty`);
  return value;
}

function readObject(text: string, what: string): ReadonlyMap<string, unknown> {
  if (Buffer.byteLength(text) > MAX_BYTES) throw invalid(what, `it is larger than ${MAX_BYTES} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // JSON.parse quotes the text around the fault, which may be the password.
    throw invalid(what, 'it is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw invalid(what, 'it is not a JSON object');
  const members = new Map<string, unknown>();
  for (const { key, depth } of topLevelMembers(text)) {
    if (depth > MAX_DEPTH) throw invalid(what, `it is nested deeper than ${MAX_DEPTH} levels`);
    if (FORBIDDEN_KEYS.includes(key)) throw invalid(what, `it has the key "${key}"`);
    // Readers disagree on which of two equal keys counts: the application could see another user than Rekey does.
    if (members.has(key)) throw invalid(what, 'it has the same key twice');
    members.set(key, (parsed as Record<string, unknown>)[key]);
    if (members.size > MAX_KEYS) throw invalid(what, `it has more than ${MAX_KEYS} keys`);
  }
  return members;
}

interface Member {
  readonly key: string;
  /** Where its value begins and ends in the text. */
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

/** Where each top-level value stands in a text that is known to be a JSON object, and how deep it nests. */
function topLevelMembers(text: string): readonly Member[] {
  const members: Member[] = [];
  let depth = 0;
  let deepest = 0;
  let key: string | undefined;
  let start: number | undefined;
  let end = 0;
  for (let at = 0; at < text.length; at += 1) {
    const from = at;
    const token = text[from] ?? '';
    if (token === ' ' || token === '\n' || token === '\r' || token === '\t') continue;
    if (token === '"') at = closingQuote(text, from);
    const closesMember = depth === 1 && (token === ',' || token === '}');
    if (closesMember && key !== undefined && start !== undefined) {
      members.push({ key, start, end, depth: deepest });
      key = start = undefined;
      deepest = 0;
    }
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    if (depth > deepest) deepest = depth;
    if (depth === 1 && token === '"' && key === undefined) key = JSON.parse(text.slice(from, at + 1)) as string;
    else if (key !== undefined && start === undefined && token !== ':') start = from;
    end = at + 1;
  }
  return members;
}

/** @param opening where the string begins */
function closingQuote(text: string, opening: number): number {
  for (let at = opening + 1; ; at += 1) {
    if (text[at] === '"') return at;
    if (text[at] === '\\') at += 1;
  }
}

/** AWS's attachments write the identifier beside host and port; who leaves those out means what RDS says. */
function parsePlace(fields: ReadonlyMap<string, unknown>, { what, rules, hosts, options }: SecretContext): Place {
  const port = fields.get('port') ?? undefined;
  if (fields.has('host')) {
    const host = textIn(fields, 'host', what);
    const fault = hostFault(host, hosts, options.serverName);
    if (fault !== undefined) throw new RekeyError('HOST_NOT_ALLOWED', `in ${what} "host" ${fault}`);
    return { kind: 'address', host, port: parsePort(port ?? rules.defaultPort, what) };
  }
  for (const [key, kind] of IDENTIFIERS) {
    if (!fields.has(key)) continue;
    const id = textIn(fields, key, what);
    if (!/^[a-z][a-z0-9-]{0,62}$/i.test(id)) throw invalid(what, `"${key}" is not an identifier of RDS`);
    return { kind: 'resource', resource: { kind, id }, port: port === undefined ? undefined : parsePort(port, what) };
  }
  throw new RekeyError(
    'SECRET_VALUE_INVALID',
    `in ${what}: "host" is missing, and no key says which database of RDS is meant`,
    'Add "host" (and "port") to the JSON of the secret; or "dbInstanceIdentifier" or "dbClusterIdentifier", and Rekey asks RDS.',
  );
}

/** A cluster first: whichever instance is named beside it, the cluster's endpoint follows the writer. */
const IDENTIFIERS = [
  ['dbClusterIdentifier', 'cluster'],
  ['dbInstanceIdentifier', 'instance'],
] as const;

/** AWS's functions fall back to plaintext where `ssl` is absent, and obey `false`. Rekey takes a person's word first. */
function parseEncryption(ssl: unknown, { what, options }: SecretContext): boolean {
  if (ssl === undefined || ssl === true || ssl === 'true') return true;
  if (ssl !== false && ssl !== 'false') throw invalid(what, '"ssl" must be true, false or absent');
  if (accepts(options, 'plaintext')) return false;
  throw new RekeyError(
    'SECRET_VALUE_INVALID',
    `in ${what}: "ssl" is false, but connections are always encrypted and verified`,
    'Set "ssl" to true or remove it. If the server has no TLS, and everyone on the way may read passwords, add "plaintext" to the tag rekey:accept.',
  );
}

function parsePort(value: unknown, what: string): number {
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  if (typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw invalid(what, '"port" must be a whole number from 1 to 65535');
}

/** Stricter than the server: a quote, a blank or `=` in this place is an attempt to smuggle connection parameters. */
function parseDatabaseName(name: string, rules: EngineRules, what: string): string {
  if (/^[\p{L}\p{N}_$.-]+$/u.test(name) && Buffer.byteLength(name) <= rules.maxNameBytes) return name;
  throw invalid(what, `"dbname" must be letters, digits and _ $ . - only, at most ${rules.maxNameBytes} bytes`);
}

function parseMasterArn(arn: string, what: string): string {
  if (parseSecretArn(arn)) return arn;
  throw invalid(what, '"masterarn" must be the whole ARN of a secret, with the six characters at its end');
}

function invalid(what: string, fault: string): RekeyError {
  return new RekeyError('SECRET_VALUE_INVALID', `in ${what}: ${fault}`);
}
