import { EKSClient } from '@aws-sdk/client-eks';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { createEksAccess } from '../../../../shared/cluster/eks.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';

const CA = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const CLUSTER = {
  endpoint: 'https://abc.eks.example',
  certificateAuthority: { data: Buffer.from(CA).toString('base64') },
};

/** What DescribeCluster answers: status and body on the wire, read by the real client. */
let answer: { status: number; headers?: Record<string, string>; body: unknown };
let asked: string[];
let nowMs: number;
const clock = { now: () => nowMs };

beforeEach(() => {
  asked = [];
  nowMs = 1_000_000;
  answer = { status: 200, body: { cluster: { ...CLUSTER, status: 'ACTIVE' } } };
});

function access() {
  const client = new EKSClient({
    region: 'eu-west-1',
    maxAttempts: 1,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'key' },
    requestHandler: {
      async handle({ hostname, path }: { hostname: string; path: string }) {
        asked.push(`${hostname}${path}`);
        const { status: statusCode, headers = {}, body } = answer;
        return { response: { statusCode, headers, body: new TextEncoder().encode(JSON.stringify(body)) } };
      },
    } as never,
  });
  return createEksAccess({ name: 'prod', region: 'eu-west-1' }, clock, client);
}

const endpoint = (of = access()) => of.endpoint(deadlineIn(10_000, clock));
const refused = (status: number, type: string) => ({
  status,
  headers: { 'x-amzn-errortype': type },
  body: { message: 'hunter2' },
});

describe('the endpoint of a cluster', () => {
  test('is what DescribeCluster says, its authority as PEM', async () => {
    expect(await endpoint()).toEqual({ url: CLUSTER.endpoint, certificateAuthority: CA });
    expect(asked).toEqual(['eks.eu-west-1.amazonaws.com/clusters/prod']);
  });

  test('is asked for once in ten minutes', async () => {
    const prod = access();
    await endpoint(prod);
    nowMs += 10 * 60_000 - 1;
    await endpoint(prod);
    expect(asked).toHaveLength(1);
    nowMs += 1;
    await endpoint(prod);
    expect(asked).toHaveLength(2);
  });

  test('is asked for again after a failure', async () => {
    const prod = access();
    answer = refused(503, 'ServiceUnavailableException');
    await expect(endpoint(prod)).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' });
    answer = { status: 200, body: { cluster: CLUSTER } };
    expect(await endpoint(prod)).toMatchObject({ url: CLUSTER.endpoint });
  });

  test('is not asked for when no time is left', async () => {
    await expect(access().endpoint(deadlineIn(2_000, clock))).rejects.toMatchObject({ code: 'DEADLINE_TOO_CLOSE' });
    expect(asked).toEqual([]);
  });
});

test.each([
  ['94: no such cluster', refused(404, 'ResourceNotFoundException'), 'CLUSTER_NOT_FOUND'],
  ['94: no right to describe it', refused(403, 'AccessDeniedException'), 'CLUSTER_ACCESS_DENIED'],
  ['94: throttled', refused(429, 'TooManyRequestsException'), 'CLUSTER_UNREACHABLE'],
  ['a cluster that is being made', { status: 200, body: { cluster: { status: 'CREATING' } } }, 'CLUSTER_UNREACHABLE'],
])('%s is a typed error that quotes no message', async (_name, answered, code) => {
  answer = answered;
  await expect(endpoint()).rejects.toMatchObject({ code, message: expect.not.stringContaining('hunter2') });
});
