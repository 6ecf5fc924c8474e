import { describe, expect, test } from '@jest/globals';
import { eksTokens, type SigningCredentials, signToken } from '../../../../shared/cluster/eks-token.ts';

const CLUSTER = { name: 'prod', region: 'eu-west-1' };
const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const NOW = Date.parse('2026-11-23T10:00:00Z');
const MINUTE = 60_000;

function urlIn(token: { expose(): string }): URL {
  const [version, payload] = token.expose().split('.');
  expect(version).toBe('k8s-aws-v1');
  return new URL(Buffer.from(payload ?? '', 'base64url').toString());
}

describe('a token', () => {
  test('is a call to STS for this cluster, signed as the AWS SDK signs it', () => {
    const url = urlIn(signToken(CLUSTER, KEYS, NOW));

    expect(url.origin + url.pathname).toBe('https://sts.eu-west-1.amazonaws.com/');
    expect(Object.fromEntries(url.searchParams)).toEqual({
      Action: 'GetCallerIdentity',
      Version: '2011-06-15',
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Credential': 'AKIDEXAMPLE/20261123/eu-west-1/sts/aws4_request',
      'X-Amz-Date': '20261123T100000Z',
      'X-Amz-Expires': '60',
      'X-Amz-SignedHeaders': 'host;x-k8s-aws-id',
      // Made by @smithy/signature-v4 from the same input.
      'X-Amz-Signature': '52555f43586db126b9eeeda33ee4dda12e5978df0098e8351e623dc1f7e12814',
    });
  });

  test('of a session in China asks the STS of that partition, and carries the session token', () => {
    const session = { ...KEYS, sessionToken: "FwoG/Zx+=a!b'(c)*" };
    const url = urlIn(signToken({ name: 'prod', region: 'cn-north-1' }, session, NOW));

    expect(url.hostname).toBe('sts.cn-north-1.amazonaws.com.cn');
    expect(url.searchParams.get('X-Amz-Security-Token')).toBe(session.sessionToken);
    // Made by @smithy/signature-v4 from the same input.
    expect(url.searchParams.get('X-Amz-Signature')).toBe(
      'f002a5534b2a4b3da8896ed247b26ddda7a326eaa26ac89d41abb3c595ddee8b',
    );
  });

  test('is not padded, and shorter than the server takes with a long session token', () => {
    const token = signToken(CLUSTER, { ...KEYS, sessionToken: 'x'.repeat(1_200) }, NOW).expose();

    expect(token).not.toContain('=');
    expect(token.length).toBeLessThan(4_096);
  });
});

describe('tokens of one cluster', () => {
  function tokensOver(sessions: readonly SigningCredentials[]) {
    const clock = { nowMs: NOW, now: () => clock.nowMs };
    const asked: boolean[] = [];
    const tokens = eksTokens(
      CLUSTER,
      async ({ forceRefresh = false } = {}) => {
        asked.push(forceRefresh);
        return sessions[Math.min(asked.length, sessions.length) - 1] ?? KEYS;
      },
      clock,
    );
    return { tokens, clock, asked };
  }

  test('are signed once for fourteen minutes', async () => {
    const { tokens, clock, asked } = tokensOver([KEYS]);

    const first = await tokens(false);
    clock.nowMs += 14 * MINUTE - 1;
    expect(await tokens(false)).toBe(first);
    clock.nowMs += 1;
    expect(await tokens(false)).not.toBe(first);
    expect(asked).toEqual([false, false]);
  });

  test('are not used beyond the session that signed them', async () => {
    const { tokens, clock } = tokensOver([{ ...KEYS, expiration: new Date(NOW + 5 * MINUTE) }, KEYS]);

    const first = await tokens(false);
    clock.nowMs += 4 * MINUTE;
    expect(await tokens(false)).not.toBe(first);
  });

  test('are not signed with a session that is about to end', async () => {
    const { tokens, asked } = tokensOver([
      { ...KEYS, expiration: new Date(NOW + 30_000) },
      { ...KEYS, accessKeyId: 'FRESH' },
    ]);

    const token = await tokens(false);

    expect(asked).toEqual([false, true]);
    expect(urlIn(token).searchParams.get('X-Amz-Credential')).toMatch(/^FRESH/);
  });

  test('are signed anew, with fresh credentials, when the last one was refused', async () => {
    const { tokens, asked } = tokensOver([KEYS]);

    await tokens(false);
    await tokens(true);

    expect(asked).toEqual([false, true]);
  });
});
