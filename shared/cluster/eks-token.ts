import { createHash, createHmac } from 'node:crypto';
import type { Clock } from '../operations/clock.ts';
import { SecretValue } from '../secrets/secret-value.ts';

export interface SigningCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** EKS takes a token for 15 minutes from its date, whatever it says itself (aws-iam-authenticator, pkg/token). */
const RENEW_AFTER_MS = 14 * 60_000;

/** A session that ends sooner than this is asked for anew before anything is signed with it. */
const SESSION_RESERVE_MS = 60_000;

/** Of the presigned call. The server takes 0 to 900 and looks at the date alone. */
const EXPIRES_SECONDS = 60;

/**
 * The bearer token that EKS asks for: a call to STS that says who we are, signed for this cluster and this moment, but
 * never made by us (aws-iam-authenticator, pkg/token: format v1).
 */
export function signToken(
  cluster: { readonly name: string; readonly region: string },
  { accessKeyId, secretAccessKey, sessionToken }: SigningCredentials,
  nowMs: number,
): SecretValue {
  const { region } = cluster;
  const host = `sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
  const timestamp = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '');
  const date = timestamp.slice(0, 8);
  const scope = `${date}/${region}/sts/aws4_request`;
  const headers = 'host;x-k8s-aws-id';
  // In the order of their names: the signature is made over this very text (AWS Signature Version 4).
  const query = [
    ['Action', 'GetCallerIdentity'],
    ['Version', '2011-06-15'],
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${accessKeyId}/${scope}`],
    ['X-Amz-Date', timestamp],
    ['X-Amz-Expires', String(EXPIRES_SECONDS)],
    ...(sessionToken === undefined ? [] : [['X-Amz-Security-Token', sessionToken]]),
    ['X-Amz-SignedHeaders', headers],
  ]
    .map((pair) => pair.map((part) => encode(part)).join('='))
    .join('&');

  const request = ['GET', '/', query, `host:${host}`, `x-k8s-aws-id:${cluster.name}`, '', headers, sha256('')].join(
    '\n',
  );
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, sha256(request)].join('\n');
  const key = [date, region, 'sts', 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const url = `https://${host}/?${query}&X-Amz-Signature=${hmac(key, toSign).toString('hex')}`;
  return new SecretValue(`k8s-aws-v1.${Buffer.from(url).toString('base64url')}`);
}

/**
 * Tokens for one cluster, signed anew only when the last one is about to end.
 * @param credentials asked with `forceRefresh` when the session would not outlive the token's use
 */
export function eksTokens(
  cluster: { readonly name: string; readonly region: string },
  credentials: (options?: { forceRefresh?: boolean }) => Promise<SigningCredentials>,
  clock: Pick<Clock, 'now'>,
): (renew: boolean) => Promise<SecretValue> {
  let last: { readonly token: SecretValue; readonly usableUntilMs: number } | undefined;
  return async (renew) => {
    if (!renew && last !== undefined && clock.now() < last.usableUntilMs) return last.token;
    let session = await credentials(renew ? { forceRefresh: true } : {});
    if (endsAtMs(session) - SESSION_RESERVE_MS <= clock.now()) session = await credentials({ forceRefresh: true });
    const nowMs = clock.now();
    const usableUntilMs = Math.min(nowMs + RENEW_AFTER_MS, endsAtMs(session) - SESSION_RESERVE_MS);
    last = { token: signToken(cluster, session, nowMs), usableUntilMs };
    return last.token;
  };
}

function endsAtMs({ expiration }: SigningCredentials): number {
  return expiration?.getTime() ?? Number.POSITIVE_INFINITY;
}

/** RFC 3986: encodeURIComponent leaves five more characters as they are than Signature Version 4 does. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
