import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { type Clock, systemClock } from '../../../shared/operations/clock.ts';
import type { User } from './api/authorization.ts';

/** Who signs with an access key. */
export interface SigningSession {
  readonly credentials: { readonly secretAccessKey: string; readonly sessionToken?: string };
  /** `arn:aws:iam::…:role/…`, which access entries name. */
  readonly roleArn: string;
  /** `arn:aws:sts::…:assumed-role/ROLE/SESSION` */
  readonly arn: string;
  readonly expiresAt: Date;
}

export interface EksTokenVerifierOptions {
  readonly clusterName: string;
  /** What STS knows of an access key; undefined when it never gave it out. */
  readonly session: (accessKeyId: string) => SigningSession | undefined;
  /** Role ARN → the Kubernetes groups of its access entry. */
  readonly accessEntries: ReadonlyMap<string, { readonly groups: readonly string[] }>;
  readonly clock?: Pick<Clock, 'now'>;
}

const PREFIX = 'k8s-aws-v1.';
const MAX_TOKEN_BYTES = 4096;
/** Counted from X-Amz-Date, whatever X-Amz-Expires says. */
const VALIDITY_MS = 15 * 60_000;
const MAX_EXPIRES_SECONDS = 900;
const STS_HOST = /^sts(\.([a-z0-9-]+))?\.amazonaws\.com(\.cn)?$/;
const PARAMETERS = new Set([
  'action',
  'version',
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-security-token',
  'x-amz-signature',
  'x-amz-signedheaders',
]);

/**
 * EKS's way in: a bearer token that is a presigned GetCallerIdentity, with the cluster's name among the signed
 * headers. The rules are those of aws-iam-authenticator's server (pkg/token); instead of calling STS this computes
 * the signature again, with the secret key that STS gave out.
 */
export function createEksTokenVerifier(options: EksTokenVerifierOptions): (token: string) => User | undefined {
  const clock = options.clock ?? systemClock;
  return (token) => {
    const url = presignedUrl(token);
    if (url === undefined) return undefined;
    const parameters = new Map([...url.searchParams].map(([name, value]) => [name.toLowerCase(), value]));
    if (!isWellFormed(url, parameters, clock.now())) return undefined;
    const [accessKeyId = ''] = (parameters.get('x-amz-credential') ?? '').split('/');
    const session = options.session(accessKeyId);
    if (session === undefined || session.expiresAt.getTime() <= clock.now()) return undefined;
    const { secretAccessKey, sessionToken } = session.credentials;
    if (parameters.get('x-amz-security-token') !== sessionToken) return undefined;
    if (!isSignedFor(url, parameters, options.clusterName, secretAccessKey)) return undefined;
    const entry = options.accessEntries.get(session.roleArn);
    return entry && { username: session.arn, groups: entry.groups };
  };
}

function presignedUrl(token: string): URL | undefined {
  const encoded = token.slice(PREFIX.length);
  if (!token.startsWith(PREFIX) || token.length > MAX_TOKEN_BYTES || !/^[A-Za-z0-9_-]+$/.test(encoded)) {
    return undefined;
  }
  const text = Buffer.from(encoded, 'base64url').toString();
  return URL.canParse(text) ? new URL(text) : undefined;
}

function isWellFormed(url: URL, parameters: ReadonlyMap<string, string>, nowMs: number): boolean {
  const names = [...url.searchParams.keys()].map((name) => name.toLowerCase());
  const signedHeaders = (parameters.get('x-amz-signedheaders') ?? '').split(';');
  const expires = Number(parameters.get('x-amz-expires') ?? Number.NaN);
  const ageMs = nowMs - epochMs(parameters.get('x-amz-date') ?? '');
  return (
    url.protocol === 'https:' &&
    STS_HOST.test(url.host) &&
    url.pathname === '/' &&
    names.every((name) => PARAMETERS.has(name)) &&
    new Set(names).size === names.length &&
    parameters.get('action') === 'GetCallerIdentity' &&
    signedHeaders.includes('host') &&
    signedHeaders.includes('x-k8s-aws-id') &&
    expires >= 0 &&
    expires <= MAX_EXPIRES_SECONDS &&
    // STS itself refuses a date that lies as far ahead.
    Math.abs(ageMs) <= VALIDITY_MS
  );
}

/** `20260102T030405Z`; NaN for anything else. */
function epochMs(date: string): number {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** Signature Version 4 of the call, with the header as this cluster expects it. */
function isSignedFor(
  url: URL,
  parameters: ReadonlyMap<string, string>,
  clusterName: string,
  secretAccessKey: string,
): boolean {
  const [, date = '', region = '', service = '', terminator] = (parameters.get('x-amz-credential') ?? '').split('/');
  const [, , hostRegion] = STS_HOST.exec(url.host) ?? [];
  if (service !== 'sts' || terminator !== 'aws4_request') return false;
  if (hostRegion !== undefined && hostRegion !== region) return false;
  const values: Readonly<Record<string, string>> = { host: url.host, 'x-k8s-aws-id': clusterName };
  const signedHeaders = parameters.get('x-amz-signedheaders') ?? '';
  const headers = signedHeaders.split(';').map((name) => `${name}:${values[name] ?? ''}\n`);
  const query = [...url.searchParams]
    .filter(([name]) => name.toLowerCase() !== 'x-amz-signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort();
  const request = ['GET', '/', query.join('&'), headers.join(''), signedHeaders, sha256('')].join('\n');
  const scope = `${date}/${region}/sts/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', parameters.get('x-amz-date'), scope, sha256(request)].join('\n');
  const key = [date, region, 'sts', 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const expected = hmac(key, toSign).toString('hex');
  const given = parameters.get('x-amz-signature') ?? '';
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

/** RFC 3986, as Signature Version 4 wants it: also the characters that encodeURIComponent leaves. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
