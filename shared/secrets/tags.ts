import { isIP } from 'node:net';
import { RekeyError } from '../operations/errors.ts';

/** A weekly maintenance window, in UTC. It crosses midnight when `toMinute` is not after `fromMinute`. */
export interface Window {
  /** Days on which the window opens; 0 is Sunday, as in `Date.getUTCDay()`. */
  readonly days: ReadonlySet<number>;
  /** Minute of the day, 0 to 1439. */
  readonly fromMinute: number;
  /** Minute of the day, 1 to 1440; not part of the window. */
  readonly toMinute: number;
}

/** What a secret's tags ask for. Defaults are in {@link DEFAULT_OPTIONS}. */
export interface SecretOptions {
  /** `auto` is AWS's reading of the JSON: `masterarn` means alternating users, none means a single user. */
  readonly strategy: 'auto' | 'single-user' | 'alternating-users' | 'user-pair' | 'dual-password';
  /** Risks that a person has taken on for this secret. */
  readonly accept: ReadonlySet<Risk>;
  /** When the previous user may be disabled; undefined: once its consumers are proved, if there are any. */
  readonly retire: 'converged' | 'next-rotation' | undefined;
  /** Grace between convergence and retirement. */
  readonly retireAfterMs: number;
  /** How many workloads may roll at once. */
  readonly maxParallel: number;
  /** When workloads may be rolled; undefined: always. */
  readonly window: Window | undefined;
  /** After this, a secret that has not converged is reported. */
  readonly convergeWithinMs: number;
  /** What is done when new pods fail, besides that nothing further is rolled. */
  readonly onFailure: 'halt' | 'move-back';
  /** Epoch milliseconds. Until then no rotation starts, nothing is rolled and nothing is retired. */
  readonly holdUntilMs: number | undefined;
  readonly passwordLength: number;
  /** Characters that a password must not have, besides those that the engine's default already excludes. */
  readonly excludeCharacters: string;
  /** Where Rekey works when the host that applications use is an alias, a proxy or a pooler; undefined: at that host. */
  readonly databaseHost: HostAndPort | undefined;
  /** The name that the server's certificate must carry, where that is not the host. */
  readonly serverName: string | undefined;
  /** The authorities, by the name of a bundle that is shipped with the function. */
  readonly ca: string | undefined;
  /** Where applications read: the pending login must work there before it is promoted. */
  readonly readers: readonly HostAndPort[];
  /** On an administrator's secret: whose `masterarn` may name it. */
  readonly adminFor: readonly string[] | undefined;
}

/** Without a port: that of the secret. What the host may be is decided where it is used. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number | undefined;
}

/**
 * `take-over`: on PostgreSQL 15, whoever holds one of two alternating users can become the other.
 * `admin-reset`: when the server refuses every password that is known (a restored snapshot), the administrator sets
 *   them again. Whoever may write the secret can then take any user that the administrator may change.
 * `plaintext`: connections without TLS.
 */
const RISKS = ['take-over', 'admin-reset', 'plaintext'] as const;
type Risk = (typeof RISKS)[number];

export const accepts = ({ accept }: Pick<SecretOptions, 'accept'>, risk: Risk): boolean => accept.has(risk);

export const MAX_PASSWORD_LENGTH = 128;

const MINUTE_MS = 60_000;
const UNIT_MS = { s: 1_000, m: MINUTE_MS, h: 60 * MINUTE_MS, d: 24 * 60 * MINUTE_MS } as const;
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

export const DEFAULT_OPTIONS: SecretOptions = {
  strategy: 'auto',
  accept: new Set(),
  retire: undefined,
  retireAfterMs: 5 * MINUTE_MS,
  maxParallel: 5,
  window: undefined,
  convergeWithinMs: 30 * MINUTE_MS,
  onFailure: 'halt',
  holdUntilMs: undefined,
  passwordLength: 32,
  excludeCharacters: '',
  databaseHost: undefined,
  serverName: undefined,
  ca: undefined,
  readers: [],
  adminFor: undefined,
};

const PREFIX = 'rekey:';

/** One login each, and time to wait for each to catch up: a function's time-out holds no more. */
const MAX_READERS = 5;
const HOST = /^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/i;
const SECRET_NAME = /^[\w/+=.@!-]{1,512}$/;

const words = (value: string): string[] => value.split(' ').filter(Boolean);

interface TagRule {
  /** What a right value looks like, for the error message. */
  readonly right: string;
  /** The option that the value asks for, or undefined when the value is not right. */
  readonly read: (value: string) => Partial<SecretOptions> | undefined;
}

/** Tag values are limited to letters, digits, spaces and `+ - = . _ : / @`, so no list here needs a comma. */
const RULES: ReadonlyMap<string, TagRule> = new Map<string, TagRule>([
  ['strategy', oneOf('strategy', ['auto', 'single-user', 'alternating-users', 'user-pair', 'dual-password'])],
  [
    'accept',
    {
      right: `${RISKS.map((risk) => `"${risk}"`).join(', ')}, separated by blanks`,
      read: (value) => {
        const accept = words(value);
        return accept.every((risk) => (RISKS as readonly string[]).includes(risk))
          ? { accept: new Set(accept as Risk[]) }
          : undefined;
      },
    },
  ],
  ['retire', oneOf('retire', ['converged', 'next-rotation'])],
  ['retire-after', duration('retireAfterMs', '0s', '30d')],
  ['max-parallel', integer('maxParallel', 1, 1_000)],
  [
    'window',
    {
      right: 'days and times in UTC, such as "mon-fri 22:00-04:00", "sat sun 01:00-05:00" or "02:00-04:00"',
      read: (value) => {
        const window = parseWindow(value);
        return window && { window };
      },
    },
  ],
  ['converge-within', duration('convergeWithinMs', '1m', '7d')],
  ['on-failure', oneOf('onFailure', ['halt', 'move-back'])],
  [
    'hold',
    {
      right: 'a date or a time in UTC, such as "2027-01-31" or "2027-01-31T18:00Z"',
      read: (value) => {
        const holdUntilMs = parseInstant(value);
        return holdUntilMs === undefined ? undefined : { holdUntilMs };
      },
    },
  ],
  ['password-length', integer('passwordLength', 16, MAX_PASSWORD_LENGTH)],
  [
    'exclude-characters',
    {
      right: 'printable ASCII that leaves at least one upper-case letter, lower-case letter and digit',
      read: (value) => (leavesLettersAndDigits(value) ? { excludeCharacters: value } : undefined),
    },
  ],
  [
    'database-host',
    {
      right: 'a host, or a host and a port, such as "orders.example.com:5432"',
      read: (value) => {
        const databaseHost = parseHostAndPort(value);
        return databaseHost && { databaseHost };
      },
    },
  ],
  [
    'server-name',
    {
      right: 'the one DNS name or address that the certificate carries',
      read: (value) => (HOST.test(value) || isIP(value) !== 0 ? { serverName: value } : undefined),
    },
  ],
  [
    'ca',
    {
      right: 'the name of a bundle of certificates, such as "corporate"',
      read: (value) => (/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(value) ? { ca: value } : undefined),
    },
  ],
  [
    'readers',
    {
      right: `one to ${MAX_READERS} hosts, each with a port or without, separated by blanks`,
      read: (value) => {
        const readers = words(value).map(parseHostAndPort);
        const areHosts = readers.every((reader) => reader !== undefined);
        return areHosts && readers.length > 0 && readers.length <= MAX_READERS ? { readers } : undefined;
      },
    },
  ],
  [
    'admin-for',
    {
      // A wildcard would be nicer to read, but "*" is not among the characters that tags are sure to take.
      right: 'names of secrets, or beginnings of names that end in "/", separated by blanks',
      read: (value) => {
        const adminFor = words(value);
        return adminFor.length > 0 && adminFor.every((name) => SECRET_NAME.test(name)) ? { adminFor } : undefined;
      },
    },
  ],
]);

/**
 * The options that a secret's tags ask for. A tag that is not understood stops the work: ignoring a misspelt
 * `rekey:hold` or `rekey:retire` would do what its author wanted to prevent.
 * @throws RekeyError TAG_INVALID naming each wrong tag and what would be right
 */
export function parseTags(tags: ReadonlyMap<string, string>): SecretOptions {
  let options = DEFAULT_OPTIONS;
  const faults: string[] = [];
  for (const [tag, value] of tags) {
    if (!tag.startsWith(PREFIX)) continue;
    const rule = RULES.get(tag.slice(PREFIX.length));
    const read = rule?.read(value);
    if (read) options = { ...options, ...read };
    else if (rule) faults.push(`the tag "${tag}" must be ${rule.right}`);
    else faults.push(`there is no tag "${tag.slice(0, 128)}"; known are ${knownTags()}`);
  }
  if (faults.length > 0) throw new RekeyError('TAG_INVALID', faults.join('; '));
  return options;
}

function knownTags(): string {
  return [...RULES.keys()].map((name) => PREFIX + name).join(', ');
}

function oneOf<K extends 'strategy' | 'retire' | 'onFailure'>(
  option: K,
  values: readonly NonNullable<SecretOptions[K]>[],
): TagRule {
  return {
    right: values.map((value) => `"${value}"`).join(' or '),
    read: (value) => {
      const found = values.find((known) => known === value);
      return found && { [option]: found };
    },
  };
}

function integer(option: 'maxParallel' | 'passwordLength', min: number, max: number): TagRule {
  return {
    right: `a whole number from ${min} to ${max}`,
    read: (value) => {
      const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
      return number >= min && number <= max ? { [option]: number } : undefined;
    },
  };
}

function duration(option: 'retireAfterMs' | 'convergeWithinMs', min: string, max: string): TagRule {
  const [minMs = 0, maxMs = 0] = [parseDuration(min), parseDuration(max)];
  return {
    right: `a time from ${min} to ${max} with its unit s, m, h or d, such as "10m"`,
    read: (value) => {
      const milliseconds = parseDuration(value);
      const fits = milliseconds !== undefined && milliseconds >= minMs && milliseconds <= maxMs;
      return fits ? { [option]: milliseconds } : undefined;
    },
  };
}

function parseDuration(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

function parseWindow(text: string): Window | undefined {
  const words = text.trim().toLowerCase().split(/ +/);
  const times = /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(words.pop() ?? '');
  if (!times) return undefined;
  const [fromHour = 0, fromMin = 0, toHour = 0, toMin = 0] = times.slice(1).map(Number);
  const fromMinute = fromHour * 60 + fromMin;
  // People write the end of a day both ways.
  const toMinute = toHour * 60 + toMin || 1440;
  if (fromMin > 59 || toMin > 59 || fromMinute > 1439 || toMinute > 1440) return undefined;
  if (times[1] === times[3] && times[2] === times[4]) return undefined;
  const days = new Set<number>();
  for (const word of words) {
    const named = parseDays(word);
    if (!named) return undefined;
    for (const day of named) days.add(day);
  }
  return { days: words.length > 0 ? days : new Set([0, 1, 2, 3, 4, 5, 6]), fromMinute, toMinute };
}

/** `mon` or `fri-mon`; a range may pass the end of the week. */
function parseDays(word: string): number[] | undefined {
  const [from = -1, to = from, ...rest] = word.split('-').map((name) => DAYS.indexOf(name));
  if (from < 0 || to < 0 || rest.length > 0) return undefined;
  return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, offset) => (from + offset) % 7);
}

function parseInstant(text: string): number | undefined {
  const [, date, time] = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)Z)?$/.exec(text) ?? [];
  if (date === undefined) return undefined;
  const instant = new Date(`${date}T${time ?? '00:00'}Z`);
  // Date rolls 2027-02-30 over to March; a freeze must end on the day that was written.
  if (Number.isNaN(instant.getTime()) || !instant.toISOString().startsWith(date)) return undefined;
  return instant.getTime();
}

function parseHostAndPort(text: string): HostAndPort | undefined {
  // An address of IPv6 has colons of its own, and tags take no brackets: it stands alone.
  if (isIP(text) === 6) return { host: text, port: undefined };
  const [host = '', port, ...rest] = text.split(':');
  if (!HOST.test(host) || rest.length > 0) return undefined;
  if (port === undefined) return { host, port };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  return number >= 1 && number <= 65_535 ? { host, port: number } : undefined;
}

function leavesLettersAndDigits(excluded: string): boolean {
  if (!/^[\x20-\x7e]{1,256}$/.test(excluded)) return false;
  return ['abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '0123456789'].every((kind) =>
    [...kind].some((character) => !excluded.includes(character)),
  );
}
