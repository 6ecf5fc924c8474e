import { describe, expect, test } from '@jest/globals';
import { signToken } from '../../../shared/cluster/eks-token.ts';
import { createEksTokenVerifier } from '../../sandbox/kubernetes/eks-token-verifier.ts';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const MINUTE = 60_000;
const CLUSTER = { name: 'demo', region: 'eu-west-1' };
const CREDENTIALS = {
  accessKeyId: 'ASIAEXAMPLE',
  secretAccessKey: 'secret/key+of=somebody',
  sessionToken: 'a/session+token==',
};
const SESSION = {
  credentials: CREDENTIALS,
  roleArn: 'arn:aws:iam::111122223333:role/sync',
  arn: 'arn:aws:sts::111122223333:assumed-role/sync/me',
  expiresAt: new Date(NOW + 60 * MINUTE),
};

/** @param nowMs when the server looks */
function verifier(nowMs = NOW, session = SESSION, groups = ['rekey']) {
  return createEksTokenVerifier({
    clusterName: 'demo',
    session: (accessKeyId) => (accessKeyId === 'ASIAEXAMPLE' ? session : undefined),
    accessEntries: new Map([[SESSION.roleArn, { groups }]]),
    clock: { now: () => nowMs },
  });
}

function token(change: { cluster?: typeof CLUSTER; credentials?: typeof CREDENTIALS; atMs?: number } = {}): string {
  return signToken(change.cluster ?? CLUSTER, change.credentials ?? CREDENTIALS, change.atMs ?? NOW).expose();
}

/** The same token with its URL changed, the signature left as it was. */
function tampered(change: (url: URL) => void): string {
  const url = new URL(Buffer.from(token().slice('k8s-aws-v1.'.length), 'base64url').toString());
  change(url);
  return `k8s-aws-v1.${Buffer.from(url.toString()).toString('base64url')}`;
}

describe('the token of an EKS cluster', () => {
  test('lets in the role that signed it, with the groups of its access entry', () => {
    expect(verifier()(token())).toEqual({ username: SESSION.arn, groups: ['rekey'] });
  });

  test('is good for a quarter of an hour, whatever it says itself', () => {
    expect(verifier(NOW + 15 * MINUTE)(token())).toBeDefined();
    expect(verifier(NOW + 15 * MINUTE + 1)(token())).toBeUndefined();
  });

  test.each([
    ['is for another cluster', token({ cluster: { ...CLUSTER, name: 'other' } })],
    ['was signed with another key', token({ credentials: { ...CREDENTIALS, secretAccessKey: 'wrong' } })],
    ['comes with another session', token({ credentials: { ...CREDENTIALS, sessionToken: 'wrong' } })],
    ['comes from an unknown key', token({ credentials: { ...CREDENTIALS, accessKeyId: 'ASIAOTHER' } })],
    ['is dated in the future', token({ atMs: NOW + 16 * MINUTE })],
    ['has no prefix', token().slice('k8s-aws-v1.'.length)],
    ['is no base64url', `${token()}=`],
    ['is no URL', `k8s-aws-v1.${Buffer.from('nothing').toString('base64url')}`],
    ['is too long', `k8s-aws-v1.${'A'.repeat(4096)}`],
    ['goes to another host', tampered((url) => (url.host = 'sts.example.com'))],
    ['goes to another path', tampered((url) => (url.pathname = '/other'))],
    ['is not encrypted', tampered((url) => (url.protocol = 'http:'))],
    ['asks for something else', tampered((url) => url.searchParams.set('Action', 'AssumeRole'))],
    ['has a parameter more', tampered((url) => url.searchParams.set('Foo', 'bar'))],
    ['has a parameter twice', tampered((url) => url.searchParams.append('action', 'GetCallerIdentity'))],
    ['expires too late', tampered((url) => url.searchParams.set('X-Amz-Expires', '901'))],
    ['signs no cluster', tampered((url) => url.searchParams.set('X-Amz-SignedHeaders', 'host'))],
    ['is dated otherwise than signed', tampered((url) => url.searchParams.set('X-Amz-Date', '20261123T120100Z'))],
    ['has no signature', tampered((url) => url.searchParams.delete('X-Amz-Signature'))],
  ])('is refused when it %s', (_why, given) => {
    expect(verifier()(given)).toBeUndefined();
  });

  test('is refused when the session has ended', () => {
    expect(verifier(NOW, { ...SESSION, expiresAt: new Date(NOW) })(token())).toBeUndefined();
  });

  test('is refused when the role has no access entry', () => {
    expect(verifier(NOW, { ...SESSION, roleArn: 'arn:aws:iam::111122223333:role/other' })(token())).toBeUndefined();
  });
});
