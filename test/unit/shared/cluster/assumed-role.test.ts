import { EKSClient } from '@aws-sdk/client-eks';
import { STSClient } from '@aws-sdk/client-sts';
import { expect, test } from '@jest/globals';
import { assumedRole } from '../../../../shared/cluster/assumed-role.ts';
import { createEksAccess } from '../../../../shared/cluster/eks.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { startAws } from '../../../sandbox/aws/index.ts';

const ROLE = { roleArn: 'arn:aws:iam::444455556666:role/rekey', externalId: 'team-42' };

/** What STS answers on the wire, read by the real client. */
function stsThatAnswers(status: number, body: string) {
  const asked: string[] = [];
  const client = new STSClient({
    region: 'eu-west-1',
    maxAttempts: 1,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'key' },
    requestHandler: {
      async handle(request: { body: string }) {
        asked.push(request.body);
        return { response: { statusCode: status, headers: {}, body: new TextEncoder().encode(body) } };
      },
    } as never,
  });
  return { asked, client };
}

const refusal = (code: string) =>
  `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>${code}</Code><Message>hunter2</Message></Error></ErrorResponse>`;

test('the session of the role is what STS gives out, with its end', async () => {
  const { asked, client } = stsThatAnswers(
    200,
    `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
      <AccessKeyId>ASIAOTHER</AccessKeyId><SecretAccessKey>theirs</SecretAccessKey><SessionToken>token</SessionToken>
      <Expiration>2026-11-26T05:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
  );

  expect(await assumedRole('prod', ROLE, async () => client)()).toEqual({
    accessKeyId: 'ASIAOTHER',
    secretAccessKey: 'theirs',
    sessionToken: 'token',
    expiration: new Date('2026-11-26T05:00:00Z'),
  });
  const request = new URLSearchParams(asked[0]);
  expect([request.get('RoleArn'), request.get('ExternalId')]).toEqual([ROLE.roleArn, ROLE.externalId]);
});

test.each([
  [403, 'AccessDenied', 'CLUSTER_ACCESS_DENIED'],
  [400, 'ValidationError', 'CLUSTER_ACCESS_DENIED'],
  [503, 'ServiceUnavailable', 'CLUSTER_UNREACHABLE'],
  [400, 'Throttling', 'CLUSTER_UNREACHABLE'],
])('94: %d %s is a typed error, for DescribeCluster and for the token, that names the role', async (...row) => {
  const [status, error, code] = row;
  const { client: sts } = stsThatAnswers(status, refusal(error));
  const clock = { now: Date.now };
  const eks = new EKSClient({ region: 'us-east-1', credentials: assumedRole('prod', ROLE, async () => sts) });
  const access = createEksAccess({ name: 'prod', region: 'us-east-1', role: ROLE }, clock, eks);
  const expected = { code, message: expect.stringContaining(ROLE.roleArn) };

  await expect(access.endpoint(deadlineIn(10_000, clock))).rejects.toMatchObject(expected);
  await expect(access.bearerToken(false)).rejects.toMatchObject(expected);
  await expect(access.bearerToken(false)).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') });
});

test('a cluster of another account is described, and its token signed, by the role there', async () => {
  const aws = await startAws({});
  try {
    aws.setClusters([
      { name: 'prod', endpoint: 'https://abc.example', certificateAuthority: { data: btoa('PEM') }, status: 'ACTIVE' },
    ]);
    const sts = new STSClient(aws.clientOptions);
    const eks = new EKSClient({ ...aws.clientOptions, credentials: assumedRole('dr', ROLE, async () => sts) });
    const clock = { now: Date.now };
    const access = createEksAccess({ name: 'dr', eksName: 'prod', region: aws.region, role: ROLE }, clock, eks);

    expect(await access.endpoint(deadlineIn(10_000, clock))).toMatchObject({ url: 'https://abc.example' });
    const token = (await access.bearerToken(false)).expose();
    const signed = new URL(Buffer.from(token.replace('k8s-aws-v1.', ''), 'base64url').toString());
    const [accessKeyId = ''] = signed.searchParams.get('X-Amz-Credential')?.split('/') ?? [];
    expect(aws.sessionOf(accessKeyId)).toMatchObject({
      roleArn: ROLE.roleArn,
      arn: 'arn:aws:sts::444455556666:assumed-role/rekey/rekey',
    });
  } finally {
    await aws.close();
  }
});
