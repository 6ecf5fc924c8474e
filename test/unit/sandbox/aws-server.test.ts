import { DescribeClusterCommand, EKSClient } from '@aws-sdk/client-eks';
import { DescribeDBInstancesCommand, RDSClient } from '@aws-sdk/client-rds';
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { PublishBatchCommand, SNSClient } from '@aws-sdk/client-sns';
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type AwsServer, startAwsServer } from '../../sandbox/aws/server.ts';
import { AwsError, type AwsService, type Protocol, unknownOperation } from '../../sandbox/aws/service.ts';

/** The wire formats of the Smithy protocols awsJson1_0, awsJson1_1, awsQuery and restJson1, judged by the SDK. */

const REGION = 'eu-central-1';
const JSON_1_1: Protocol = { kind: 'json', version: '1.1', targetPrefix: 'secretsmanager' };
const QUERY: Protocol = { kind: 'query', xmlNamespace: 'https://example.amazonaws.com/doc/2011-06-15/' };

let server: AwsServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A server with one service. @returns what a client of it needs */
async function serve(name: string, protocol: Protocol | Protocol[], handle: AwsService['handle'] = async () => ({})) {
  const service: AwsService = { name, protocols: [protocol].flat(), handle };
  server = await startAwsServer({ services: [service], accountId: '111122223333', region: REGION });
  return {
    region: REGION,
    endpoint: server.endpoint,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' },
    maxAttempts: 1,
  };
}

function signed(service: string, region = REGION): Record<string, string> {
  const scope = `AKIDEXAMPLE/20260115/${region}/${service}/aws4_request`;
  return { authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=00` };
}

const post = (headers: Record<string, string>, body = '{}', path = '/') =>
  fetch(`${server?.endpoint}${path}`, { method: 'POST', headers, body });

describe('the JSON protocol', () => {
  test('carries instants as seconds', async () => {
    const createdAt = new Date(1_768_473_000_500);
    const client = new SecretsManagerClient(
      await serve('secretsmanager', JSON_1_1, async () => ({ CreatedDate: createdAt })),
    );
    const answer = await client.send(new DescribeSecretCommand({ SecretId: 'x' }));
    expect(answer.CreatedDate).toEqual(createdAt);
    expect(answer.$metadata.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('carries an error that the SDK knows by its class', async () => {
    const client = new SecretsManagerClient(
      await serve('secretsmanager', JSON_1_1, async () => {
        throw new AwsError('ResourceNotFoundException', 'gone');
      }),
    );
    await expect(client.send(new DescribeSecretCommand({ SecretId: 'x' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'gone',
      $metadata: { httpStatusCode: 400 },
    });
  });

  test('carries the old error code too for a service that came from the query protocol', async () => {
    const json: Protocol = { kind: 'json', version: '1.0', targetPrefix: 'AmazonSQS' };
    const client = new SQSClient(
      await serve('sqs', [json, QUERY], async () => {
        throw new AwsError('QueueDoesNotExist', 'no', 400, 'AWS.SimpleQueueService.NonExistentQueue');
      }),
    );
    await expect(client.send(new GetQueueUrlCommand({ QueueName: 'q' }))).rejects.toMatchObject({
      name: 'QueueDoesNotExist',
      Code: 'AWS.SimpleQueueService.NonExistentQueue',
    });
  });

  test.each(['not json', '[]', '"text"', '1'])('answers the body %s with SerializationException', async (body) => {
    await serve('secretsmanager', JSON_1_1);
    const headers = { ...signed('secretsmanager'), 'x-amz-target': 'secretsmanager.DescribeSecret' };
    const answer = await post(headers, body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ __type: 'SerializationException' });
  });

  test.each(['secretsmanager.Unknown', 'secretsmanager.', 'other.DescribeSecret', 'secretsmanager.__proto__'])(
    'answers the target %s with UnknownOperationException',
    async (target) => {
      await serve('secretsmanager', JSON_1_1, async (operation) => {
        throw unknownOperation(operation);
      });
      const answer = await post({ ...signed('secretsmanager'), 'x-amz-target': target });
      expect(await answer.json()).toMatchObject({ __type: 'UnknownOperationException' });
    },
  );
});

describe('the query protocol', () => {
  test('carries an answer as XML, escaped', async () => {
    const sts = new STSClient(
      await serve('sts', QUERY, async (_operation, _input, caller) => ({ Account: caller.accountId, Arn: '<&">\r\n' })),
    );
    const answer = await sts.send(new GetCallerIdentityCommand({}));
    expect(answer).toMatchObject({ Account: '111122223333', Arn: '<&">\r\n' });
  });

  test('nests parameters and repeats elements', async () => {
    let seen: unknown;
    const rds = new RDSClient(
      await serve('rds', QUERY, async (_operation, input) => {
        seen = input;
        const DBInstance = [
          { DBInstanceIdentifier: 'a', InstanceCreateTime: new Date(0) },
          { DBInstanceIdentifier: 'b' },
        ];
        return { DBInstances: { DBInstance } };
      }),
    );
    const filters = [{ Name: 'engine', Values: ['postgres', 'mysql'] }];
    const answer = await rds.send(new DescribeDBInstancesCommand({ Filters: filters, MaxRecords: 20 }));
    expect(seen).toMatchObject({
      MaxRecords: '20',
      Filters: { Filter: [{ Name: 'engine', Values: { Value: ['postgres', 'mysql'] } }] },
    });
    expect(answer.DBInstances).toEqual([
      { DBInstanceIdentifier: 'a', InstanceCreateTime: new Date(0) },
      { DBInstanceIdentifier: 'b' },
    ]);
  });

  test('reads member lists as arrays, also past the ninth', async () => {
    let seen: unknown;
    const handle: AwsService['handle'] = async (_operation, input) => {
      seen = (input as { PublishBatchRequestEntries: unknown }).PublishBatchRequestEntries;
      return {};
    };
    const sns = new SNSClient(await serve('sns', QUERY, handle));
    const entries = Array.from({ length: 11 }, (_, index) => ({ Id: `id-${index}`, Message: 'm' }));
    await sns.send(new PublishBatchCommand({ TopicArn: 'arn', PublishBatchRequestEntries: entries }));
    expect(seen).toEqual(entries);
  });

  test('reads parameters of a presigned GET', async () => {
    await serve('sts', QUERY, async (operation, input) => ({ operation, ...(input as object) }));
    const credential = encodeURIComponent(`AKIDEXAMPLE/20260115/${REGION}/sts/aws4_request`);
    const url = `${server?.endpoint}/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Credential=${credential}`;
    const text = await (await fetch(url)).text();
    expect(text).toContain('<operation>GetCallerIdentity</operation>');
  });

  test('carries an error that the SDK knows', async () => {
    const sts = new STSClient(
      await serve('sts', QUERY, async () => {
        throw new AwsError('ExpiredTokenException', 'a < b', 403);
      }),
    );
    await expect(sts.send(new GetCallerIdentityCommand({}))).rejects.toMatchObject({
      name: 'ExpiredTokenException',
      message: 'a < b',
      $metadata: { httpStatusCode: 403 },
    });
  });

  test('answers an unknown action with InvalidAction', async () => {
    await serve('sts', QUERY, async (operation) => {
      throw unknownOperation(operation);
    });
    const headers = { ...signed('sts'), 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await post(headers, 'Action=Nonsense&__proto__.x=1&Version=1');
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('<Code>InvalidAction</Code>');
  });
});

describe('the REST-JSON protocol', () => {
  const rest: Protocol = {
    kind: 'rest-json',
    route: (method, path) => (path.startsWith('/clusters/') ? { operation: method, input: path } : undefined),
  };

  test('routes by method and path', async () => {
    const eks = new EKSClient(
      await serve('eks', rest, async (operation, input) => ({
        cluster: { name: `${operation} ${input}`, createdAt: new Date(1000) },
      })),
    );
    const answer = await eks.send(new DescribeClusterCommand({ name: 'a/b' }));
    expect(answer.cluster).toEqual({ name: 'GET /clusters/a%2Fb', createdAt: new Date(1000) });
  });

  test('carries an error that the SDK knows by its class', async () => {
    const eks = new EKSClient(
      await serve('eks', rest, async () => {
        throw new AwsError('ResourceNotFoundException', 'No cluster found', 404);
      }),
    );
    await expect(eks.send(new DescribeClusterCommand({ name: 'a' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'No cluster found',
      $metadata: { httpStatusCode: 404 },
    });
  });

  test('answers a path that no operation has with UnknownOperationException', async () => {
    await serve('eks', rest);
    const answer = await fetch(`${server?.endpoint}/nonsense`, { headers: signed('eks') });
    expect(answer.headers.get('x-amzn-errortype')).toBe('UnknownOperationException');
  });
});

describe('a request', () => {
  test('without a signature is refused in its own protocol', async () => {
    await serve('secretsmanager', JSON_1_1);
    const json = await post({ 'x-amz-target': 'secretsmanager.DescribeSecret' });
    expect([json.status, await json.json()]).toMatchObject([403, { __type: 'MissingAuthenticationTokenException' }]);
    const query = await post({ 'content-type': 'application/x-www-form-urlencoded' }, 'Action=GetCallerIdentity');
    expect(await query.text()).toContain('<Code>MissingAuthenticationToken</Code>');
  });

  test.each(['Basic abc', 'AWS4-HMAC-SHA256 Credential=a/b, Signature=00', 'AWS4-HMAC-SHA256'])(
    'with the authorization %j is refused',
    async (authorization) => {
      await serve('secretsmanager', JSON_1_1);
      const answer = await post({ authorization, 'x-amz-target': 'secretsmanager.DescribeSecret' });
      expect(answer.status).toBe(403);
      expect(server?.calls).toEqual([]);
    },
  );

  test('for another region is refused', async () => {
    await serve('secretsmanager', JSON_1_1);
    const headers = { ...signed('secretsmanager', 'us-east-1'), 'x-amz-target': 'secretsmanager.DescribeSecret' };
    expect(await (await post(headers)).json()).toMatchObject({ __type: 'InvalidSignatureException' });
  });

  test('for a service that is not simulated says which', async () => {
    await serve('secretsmanager', JSON_1_1);
    const answer = await post({ ...signed('dynamodb'), 'x-amz-target': 'DynamoDB_20120810.GetItem' });
    expect(await answer.json()).toMatchObject({ message: 'no service dynamodb is simulated here' });
  });

  test('of more than 1 MiB is refused, and the server goes on', async () => {
    await serve('secretsmanager', JSON_1_1);
    const headers = { ...signed('secretsmanager'), 'x-amz-target': 'secretsmanager.DescribeSecret' };
    expect((await post(headers, 'x'.repeat(1024 * 1024 + 1))).status).toBe(413);
    expect((await post(headers)).status).toBe(200);
  });

  test('that meets a mistake in a service is answered with it', async () => {
    await serve('secretsmanager', JSON_1_1, async () => {
      throw new TypeError('oops');
    });
    const headers = { ...signed('secretsmanager'), 'x-amz-target': 'secretsmanager.DescribeSecret' };
    const answer = await post(headers);
    expect([answer.status, await answer.json()]).toMatchObject([
      500,
      { __type: 'InternalFailure', message: expect.stringContaining('oops') },
    ]);
  });

  test('that waits for an answer is cut off by close', async () => {
    await serve('secretsmanager', JSON_1_1);
    server?.inject(() => ({ kind: 'slow', milliseconds: 60_000 }));
    const headers = { ...signed('secretsmanager'), 'x-amz-target': 'secretsmanager.DescribeSecret' };
    const waiting = expect(post(headers)).rejects.toThrow('fetch failed');
    while (server?.calls.length === 0) await new Promise(setImmediate);
    await server?.close();
    await waiting;
  });
});

test('two services cannot have one name', async () => {
  const service: AwsService = { name: 'sts', protocols: [], handle: async () => ({}) };
  const start = startAwsServer({ services: [service, service], accountId: '111122223333', region: REGION });
  await expect(start).rejects.toThrow('the same name');
});
