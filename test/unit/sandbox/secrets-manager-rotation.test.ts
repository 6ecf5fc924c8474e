import {
  CancelRotateSecretCommand,
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  type RotateSecretCommandInput,
  type RotationRulesType,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RotationRequest } from '../../sandbox/aws/secrets-manager/index.ts';
import {
  ACCOUNT,
  type Bench,
  FUNCTION_ARN,
  namesOf,
  newToken,
  REGION,
  readValue,
  stagesOf,
  startBench,
  wellBehaved,
} from './secrets-manager-bench.ts';

/** In brackets: the statement of the API reference ("API"), user guide or issue that a test rests on. */

let bench: Bench;
let arn: string;
beforeEach(async () => {
  bench = await startBench();
  arn = await createSecret();
});
afterEach(() => bench.close());

const first = newToken();
const second = newToken();
const third = newToken();

async function createSecret(): Promise<string> {
  const command = new CreateSecretCommand({ Name: 'app/db', ClientRequestToken: first, SecretString: 'one' });
  return (await bench.client.send(command)).ARN ?? '';
}

function rotate(token = second, input: Partial<RotateSecretCommandInput> = {}) {
  return bench.client.send(
    new RotateSecretCommand({
      SecretId: 'app/db',
      ClientRequestToken: token,
      RotationLambdaARN: FUNCTION_ARN,
      RotationRules: { AutomaticallyAfterDays: 30 },
      ...input,
    }),
  );
}

async function describeSecret() {
  return bench.client.send(new DescribeSecretCommand({ SecretId: 'app/db' }));
}

function stripPending(versionId: string) {
  return bench.client.send(
    new UpdateSecretVersionStageCommand({
      SecretId: 'app/db',
      VersionStage: 'AWSPENDING',
      RemoveFromVersionId: versionId,
    }),
  );
}

/** Fails the step whenever it comes, after the well-behaved function did its work. */
function failAt(step: RotationRequest['Step'], times = Number.POSITIVE_INFINITY): void {
  let left = times;
  bench.rotateWith(async (functionArn, request) => {
    if (request.Step === step && left > 0) {
      left -= 1;
      throw new Error('the function failed');
    }
    await wellBehaved(bench.client)(functionArn, request);
  });
}

/** The well-behaved function, which does nothing until the returned function is called. */
function holdFunction(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.rotateWith(async (functionArn, request) => {
    await promise;
    await wellBehaved(bench.client)(functionArn, request);
  });
  return resolve;
}

const rotationEvents = () => namesOf(bench.events).filter((name) => name.includes('Rotation'));

describe('a rotation', () => {
  test('runs the four steps in order with ARN, token and one RotationToken [user guide, Rotation by Lambda function]', async () => {
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret', 'testSecret', 'finishSecret']);
    const [RotationToken] = new Set(bench.steps.map((step) => step.RotationToken));
    expect(RotationToken).toMatch(/^[a-zA-Z0-9-]{36,256}$/);
    for (const step of bench.steps)
      expect(step).toEqual({ Step: step.Step, SecretId: arn, ClientRequestToken: second, RotationToken });
  });

  test('answers before the function has run [API RotateSecret, Description: asynchronous]', async () => {
    const release = holdFunction();
    expect(await rotate()).toMatchObject({ ARN: arn, Name: 'app/db', VersionId: second });
    expect(await stagesOf(bench.client, 'app/db')).toMatchObject({ [second]: ['AWSPENDING'] });
    release();
    await bench.service.idle();
  });

  test('begins with a pending version that has no value [getmoto/moto#8504, tried at AWS]', async () => {
    const seen: unknown[] = [];
    bench.rotateWith(async () => {
      seen.push(await stagesOf(bench.client, 'app/db'));
      for (const wanted of [{ VersionStage: 'AWSPENDING' }, { VersionId: second }])
        seen.push(await readValue(bench.client, 'app/db', wanted).catch((error: Error) => error.name));
    });
    await rotate();
    await bench.service.idle();
    expect(seen).toEqual([
      { [first]: ['AWSCURRENT'], [second]: ['AWSPENDING'] },
      'ResourceNotFoundException',
      'ResourceNotFoundException',
    ]);
  });

  test('ends with AWSPENDING cleared by the service itself [aws-secrets-manager-rotation-lambdas#145]', async () => {
    await rotate();
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT'] });
  });

  test('sets LastRotatedDate when it succeeded [API DescribeSecret, LastRotatedDate]', async () => {
    expect((await describeSecret()).LastRotatedDate).toBeUndefined();
    await rotate();
    await bench.service.idle();
    expect((await describeSecret()).LastRotatedDate).toEqual(new Date(bench.clock.nowMs));
  });

  test('does not set LastRotatedDate when it failed [API DescribeSecret, LastRotatedDate]', async () => {
    failAt('testSecret');
    await rotate();
    await bench.service.idle();
    expect((await describeSecret()).LastRotatedDate).toBeUndefined();
  });

  test('invokes the function that the secret has when none is named [API RotateSecret, Description]', async () => {
    await rotate();
    await bench.service.idle();
    await rotate(third, { RotationLambdaARN: undefined, RotationRules: undefined });
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [second]: ['AWSPREVIOUS'], [third]: ['AWSCURRENT'] });
  });

  test('without any function is refused [API RotateSecret, InvalidRequestException]', async () => {
    await expect(rotate(second, { RotationLambdaARN: undefined })).rejects.toMatchObject({
      name: 'InvalidRequestException',
    });
    expect((await describeSecret()).RotationEnabled).toBeUndefined();
  });

  test('gives a secret without a value its first one [terraform-provider-aws#10619; moto#9451]', async () => {
    await bench.client.send(new CreateSecretCommand({ Name: 'empty' }));
    await rotate(second, { SecretId: 'empty' });
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'empty')).toEqual({ [second]: ['AWSCURRENT'] });
  });

  test('is not started twice by the same token [API RotateSecret, ClientRequestToken]', async () => {
    await rotate();
    expect(await rotate()).toMatchObject({ VersionId: second });
    await bench.service.idle();
    expect(await rotate()).toMatchObject({ VersionId: second });
    await bench.service.idle();
    expect(bench.steps).toHaveLength(4);
  });
});

describe('a failed step', () => {
  test('stops the process and leaves AWSPENDING [user guide, Troubleshoot rotation]', async () => {
    failAt('setSecret');
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret']);
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'], [second]: ['AWSPENDING'] });
  });

  test('repeats the whole process with the same token [API DescribeSecret, NextRotationDate]', async () => {
    await bench.close();
    bench = await startBench({ retry: { attempts: 2, delayMs: 1 } });
    await createSecret();
    failAt('setSecret', 2);
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual([
      ...['createSecret', 'setSecret', 'createSecret', 'setSecret'],
      ...['createSecret', 'setSecret', 'testSecret', 'finishSecret'],
    ]);
    expect(new Set(bench.steps.map(({ ClientRequestToken }) => ClientRequestToken))).toEqual(new Set([second]));
    expect((await stagesOf(bench.client, 'app/db'))[second]).toEqual(['AWSCURRENT']);
  });

  test('is given up after the last attempt [user guide, Rotation by Lambda function: several times]', async () => {
    await bench.close();
    bench = await startBench({ retry: { attempts: 2, delayMs: 1 } });
    await createSecret();
    failAt('createSecret');
    await rotate();
    await bench.service.idle();
    expect(bench.steps).toHaveLength(3);
    expect((await stagesOf(bench.client, 'app/db'))[second]).toEqual(['AWSPENDING']);
  });

  test('is reported with the function and the step, not with what the function said [user guide, Monitor with EventBridge]', async () => {
    failAt('setSecret');
    await rotate();
    await bench.service.idle();
    expect(bench.events.at(-1)?.detail).toMatchObject({
      eventName: 'RotationFailed',
      errorMessage: `Error when executing lambda ${FUNCTION_ARN} during setSecret step`,
      additionalEventData: { SecretId: arn },
    });
  });

  test('createSecret that stores nothing fails [user guide, Troubleshoot rotation: was not created by Lambda]', async () => {
    bench.rotateWith(async () => {});
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret']);
    expect(bench.events.at(-1)?.detail).toMatchObject({
      errorMessage: expect.stringContaining(`Pending secret version ${second}`),
    });
  });

  test('finishSecret that moves nothing is no success [API RotateSecret, Description]', async () => {
    bench.rotateWith(async (functionArn, request) => {
      if (request.Step !== 'finishSecret') await wellBehaved(bench.client)(functionArn, request);
    });
    await rotate();
    await bench.service.idle();
    expect(rotationEvents().at(-1)).toBe('RotationFailed');
    expect((await stagesOf(bench.client, 'app/db'))[second]).toEqual(['AWSPENDING']);
  });
});

describe('an incomplete rotation', () => {
  const incomplete = {
    name: 'InvalidRequestException',
    message: "A previous rotation isn't complete. That rotation will be reattempted.",
  };

  test('refuses the next RotateSecret and starts over with the old token [API RotateSecret, Description]', async () => {
    failAt('setSecret', 1);
    await rotate();
    await bench.service.idle();
    await expect(rotate(third)).rejects.toMatchObject(incomplete);
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT'] });
  });

  test('refuses while it is still running, and runs once [API RotateSecret, Description]', async () => {
    const release = holdFunction();
    await rotate();
    await expect(rotate(third)).rejects.toMatchObject(incomplete);
    release();
    await bench.service.idle();
    expect(bench.steps).toHaveLength(4);
  });

  test('is over when AWSPENDING is stripped: then a new version begins [API CancelRotateSecret]', async () => {
    failAt('setSecret', 1);
    await rotate();
    await bench.service.idle();
    await stripPending(second);
    await rotate(third);
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [third]: ['AWSCURRENT'] });
  });

  test('is not seen when AWSPENDING is on the current version [API RotateSecret, Description]', async () => {
    await rotate();
    await bench.service.idle();
    const attach = { SecretId: 'app/db', VersionStage: 'AWSPENDING', MoveToVersionId: second };
    await bench.client.send(new UpdateSecretVersionStageCommand(attach));
    await rotate(third);
    await bench.service.idle();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [second]: ['AWSPREVIOUS'], [third]: ['AWSCURRENT'] });
  });
});

describe('a hand that interferes', () => {
  /** Runs the action between createSecret and setSecret. */
  function duringSetSecret(action: () => Promise<unknown>): void {
    bench.rotateWith(async (functionArn, request) => {
      await wellBehaved(bench.client)(functionArn, request);
      if (request.Step === 'setSecret') await action();
    });
  }

  test('putting a new current value abandons the rotation [user guide, RotationAbandoned]', async () => {
    duringSetSecret(() =>
      bench.client.send(
        new PutSecretValueCommand({ SecretId: 'app/db', ClientRequestToken: third, SecretString: 'by hand' }),
      ),
    );
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret']);
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [third]: ['AWSCURRENT'] });
    expect(rotationEvents()).toEqual(['RotationStarted', 'RotationAbandoned']);
  });

  test('putting a value under another label does not [user guide, RotationAbandoned: a new current]', async () => {
    duringSetSecret(() =>
      bench.client.send(
        new PutSecretValueCommand({ SecretId: 'app/db', SecretString: 'x', VersionStages: ['custom'] }),
      ),
    );
    await rotate();
    await bench.service.idle();
    expect(rotationEvents()).toEqual(['RotationStarted', 'RotationSucceeded']);
  });

  test('cancelling turns rotation off, stops it, and leaves AWSPENDING [API CancelRotateSecret, Description]', async () => {
    duringSetSecret(() => bench.client.send(new CancelRotateSecretCommand({ SecretId: 'app/db' })));
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret']);
    const answer = await describeSecret();
    expect(answer).toMatchObject({ RotationEnabled: false, RotationLambdaARN: FUNCTION_ARN });
    expect(answer.RotationRules).toEqual({ AutomaticallyAfterDays: 30 });
    expect(answer.NextRotationDate).toBeUndefined();
    expect(answer.VersionIdsToStages?.[second]).toEqual(['AWSPENDING']);
  });

  test('cancelling a secret that never rotated is refused [API CancelRotateSecret, InvalidRequestException]', async () => {
    await expect(bench.client.send(new CancelRotateSecretCommand({ SecretId: 'app/db' }))).rejects.toMatchObject({
      name: 'InvalidRequestException',
    });
  });

  test('deleting the secret ends the rotation [API DeleteSecret, Description]', async () => {
    duringSetSecret(() => bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db' })));
    await rotate();
    await bench.service.idle();
    expect(bench.steps.map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret']);
  });
});

describe('RotateImmediately=false', () => {
  test('runs testSecret alone on a pending version that goes away again [API RotateSecret, RotateImmediately]', async () => {
    let seen: unknown;
    bench.rotateWith(async () => {
      seen = await stagesOf(bench.client, 'app/db');
    });
    await rotate(second, { RotateImmediately: false });
    await bench.service.idle();
    expect(bench.steps).toMatchObject([{ Step: 'testSecret', SecretId: arn, ClientRequestToken: second }]);
    expect(seen).toEqual({ [first]: ['AWSCURRENT'], [second]: ['AWSPENDING'] });
    expect(bench.service.inspect('app/db').versions.map(({ id }) => id)).toEqual([first]);
    expect(await describeSecret()).toMatchObject({ RotationEnabled: true });
  });

  test('announces the outcome of the test [user guide, Monitor with EventBridge]', async () => {
    await rotate(second, { RotateImmediately: false });
    await bench.service.idle();
    failAt('testSecret');
    await rotate(third, { RotateImmediately: false });
    await bench.service.idle();
    expect(rotationEvents()).toEqual([
      ...['TestRotationStarted', 'TestRotationSucceeded'],
      ...['TestRotationStarted', 'TestRotationFailed'],
    ]);
    expect(bench.service.inspect('app/db').versions.map(({ id }) => id)).toEqual([first]);
  });

  test.each([
    ['nothing', 'ResourceNotFoundException'],
    ['current value', 'one'],
  ] as const)(
    'can test with %s, since AWS does not say which [API RotateSecret, RotateImmediately]',
    async (testVersionHolds, expected) => {
      await bench.close();
      bench = await startBench({ testVersionHolds });
      await createSecret();
      let seen: unknown;
      bench.rotateWith(async () => {
        const pending = { VersionStage: 'AWSPENDING' };
        seen = await readValue(bench.client, 'app/db', pending).catch((error: Error) => error.name);
      });
      await rotate(second, { RotateImmediately: false });
      await bench.service.idle();
      expect(seen).toBe(expected);
    },
  );
});

describe('the schedule', () => {
  const nextAfter = async (RotationRules: RotateSecretCommandInput['RotationRules']) => {
    await rotate(newToken(), { RotationRules });
    await bench.service.idle();
    return (await describeSecret()).NextRotationDate?.toISOString();
  };

  // It is Thursday, 2026-01-15 10:30 UTC. The window is open until the end of the UTC day unless a Duration is given.
  test.each([
    [{ AutomaticallyAfterDays: 30 }, '2026-02-14T23:59:59.000Z'],
    [{ ScheduleExpression: 'rate(10 days)' }, '2026-01-25T23:59:59.000Z'],
    [{ ScheduleExpression: 'rate(10 days)', Duration: '3h' }, '2026-01-25T02:59:59.000Z'],
    [{ ScheduleExpression: 'rate(4 hours)' }, '2026-01-15T12:59:59.000Z'],
    [{ ScheduleExpression: 'rate(4 hours)', Duration: '2h' }, '2026-01-15T13:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 3 * * ? *)', Duration: '2h' }, '2026-01-16T04:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 8 1,15 * ? *)' }, '2026-02-01T23:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 22 L * ? *)', Duration: '1h' }, '2026-01-31T22:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 2 ? * SUN#2 *)', Duration: '1h' }, '2026-02-08T02:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 2 ? * 6L *)', Duration: '1h' }, '2026-01-30T02:59:59.000Z'],
    [{ ScheduleExpression: 'cron(0 8/8 ? MAR-APR MON-FRI *)' }, '2026-03-02T08:59:59.000Z'],
  ])('of %j rotates by %s [user guide, Schedule expressions; API RotationRulesType]', async (rules, expected) => {
    expect(await nextAfter(rules)).toBe(expected);
  });

  test.each<[RotationRulesType, string]>([
    [{ AutomaticallyAfterDays: 0 }, 'days from 1 to 1000'],
    [{ AutomaticallyAfterDays: 1001 }, 'days from 1 to 1000'],
    [{ AutomaticallyAfterDays: 1, ScheduleExpression: 'rate(1 day)' }, 'one of the two'],
    [{ ScheduleExpression: 'rate(3 hours)' }, 'four hours at least'],
    [{ ScheduleExpression: 'rate(30 minutes)' }, 'hours or days'],
    [{ ScheduleExpression: 'cron(30 8 * * ? *)' }, 'minute 0'],
    [{ ScheduleExpression: 'cron(0 8 * * ? 2027)' }, 'year *'],
    [{ ScheduleExpression: 'cron(0 8,10 * * ? *)' }, 'four hours at least'],
    [{ ScheduleExpression: 'cron(0 25 * * ? *)' }, 'an hour of the day'],
    [{ ScheduleExpression: 'every monday' }, 'rate or cron'],
    [{ ScheduleExpression: 'cron(0 22 * * ? *)', Duration: '3h' }, 'window within the UTC day'],
    [{ ScheduleExpression: 'rate(4 hours)', Duration: '5h' }, 'window before the next one'],
    [{ ScheduleExpression: 'rate(1 day)', Duration: '3 h' }, 'duration like 3h'],
  ])('refuses %j: %s [API RotationRulesType]', async (RotationRules) => {
    const before = bench.service.inspect('app/db');
    await expect(rotate(second, { RotationRules })).rejects.toMatchObject({ name: 'InvalidParameterException' });
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('counts a manual update as a rotation [API RotationRulesType, AutomaticallyAfterDays]', async () => {
    await nextAfter({ AutomaticallyAfterDays: 30 });
    bench.clock.nowMs = Date.UTC(2026, 0, 20, 12);
    await bench.client.send(new PutSecretValueCommand({ SecretId: 'app/db', SecretString: 'by hand' }));
    expect((await describeSecret()).NextRotationDate).toEqual(new Date(Date.UTC(2026, 1, 19, 23, 59, 59)));
  });
});

describe('events', () => {
  test('announce AWSCURRENT at creation and at each move, natively [user guide, Secret Label Updated]', async () => {
    await rotate();
    await bench.service.idle();
    const native = bench.events.filter((event) => event['detail-type'] === 'Secret Label Updated');
    expect(native).toEqual(
      [first, second].map((versionId) => ({
        version: '0',
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        'detail-type': 'Secret Label Updated',
        source: 'aws.secretsmanager',
        account: ACCOUNT,
        time: '2026-01-15T10:30:00Z',
        region: REGION,
        resources: [arn],
        detail: { name: 'app/db', labelUpdated: 'AWSCURRENT', versionId },
      })),
    );
  });

  test('announce a move back and custom labels, not AWSPENDING and AWSPREVIOUS [user guide, Secret Label Updated]', async () => {
    await rotate();
    await bench.service.idle();
    const move = (VersionStage: string, RemoveFromVersionId: string | undefined, MoveToVersionId: string) =>
      bench.client.send(
        new UpdateSecretVersionStageCommand({
          SecretId: 'app/db',
          VersionStage,
          RemoveFromVersionId,
          MoveToVersionId,
        }),
      );
    await move('AWSCURRENT', second, first);
    await move('canary', undefined, second);
    expect(namesOf(bench.events).filter((name) => name.includes('→'))).toEqual([
      `AWSCURRENT→${first}`,
      `AWSCURRENT→${second}`,
      `AWSCURRENT→${first}`,
      `canary→${second}`,
    ]);
  });

  test('announce a rotation as CloudTrail service events [user guide, Monitor with EventBridge]', async () => {
    await rotate();
    await bench.service.idle();
    expect(rotationEvents()).toEqual(['RotationStarted', 'RotationSucceeded']);
    expect(bench.events.at(-1)).toMatchObject({
      source: 'aws.secretsmanager',
      'detail-type': 'AWS Service Event via CloudTrail',
      detail: {
        eventSource: 'secretsmanager.amazonaws.com',
        eventType: 'AwsServiceEvent',
        additionalEventData: { SecretId: arn },
      },
    });
  });

  test('never carry a value', async () => {
    failAt('testSecret');
    await rotate();
    await bench.service.idle();
    const text = JSON.stringify(bench.events);
    expect(text).not.toContain('rotated ');
    expect(text).not.toContain(bench.steps[0]?.RotationToken ?? 'a rotation token');
  });
});
