import { GetFunctionCommand, InvokeCommand, LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { functionFolder, moduleFolder } from './function-folder.ts';

let aws: AwsSandbox;
beforeEach(async () => {
  aws = await startAws();
});
afterEach(() => aws.close());

describe('a handler', () => {
  test('gets the event and answers what it returns', async () => {
    aws.functions.deploy({ name: 'echo', folder: functionFolder('return { got: event };') });

    expect(await aws.functions.invoke('echo', { a: [1, 'ü'] })).toMatchObject({
      ok: true,
      payload: { got: { a: [1, 'ü'] } },
    });
  });

  test('that returns nothing answers null', async () => {
    aws.functions.deploy({ name: 'quiet', folder: functionFolder('') });

    expect(await aws.functions.invoke('quiet', {})).toMatchObject({ ok: true, payload: null });
  });

  test('gets the context of Node.js functions', async () => {
    const folder = functionFolder('return { ...context, left: context.getRemainingTimeInMillis() };');
    const arn = aws.functions.deploy({ name: 'look', folder, memoryMb: 256, timeoutSeconds: 7 });

    const { payload } = await aws.functions.invoke(arn, {});
    expect(payload).toMatchObject({
      functionName: 'look',
      functionVersion: '$LATEST',
      memoryLimitInMB: '256',
      invokedFunctionArn: 'arn:aws:lambda:eu-west-1:111122223333:function:look',
      awsRequestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      logGroupName: '/aws/lambda/look',
      logStreamName: expect.stringMatching(/^\d{4}\/\d\d\/\d\d\/\[\$LATEST\][0-9a-f]{32}$/),
    });
    expect((payload as { left: number }).left).toBeGreaterThan(5_000);
    expect((payload as { left: number }).left).toBeLessThanOrEqual(7_000);
  });

  test("sees Lambda's environment and its own variables, and nothing of the sandbox's process", async () => {
    process.env['REKEY_TEST_OF_PARENT'] = 'leaked';
    const folder = functionFolder('return process.env;');
    aws.functions.deploy({ name: 'env', folder, environment: { TABLE: 't' }, roleName: 'env-role' });

    const { payload } = await aws.functions.invoke('env', {});
    delete process.env['REKEY_TEST_OF_PARENT'];
    expect(payload).toMatchObject({
      TABLE: 't',
      AWS_REGION: 'eu-west-1',
      AWS_LAMBDA_FUNCTION_NAME: 'env',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '128',
      AWS_ENDPOINT_URL: aws.endpoint,
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
      LAMBDA_TASK_ROOT: folder,
      _HANDLER: 'index.handler',
    });
    expect(payload).not.toHaveProperty('REKEY_TEST_OF_PARENT');
    expect(aws.sessionOf((payload as { AWS_ACCESS_KEY_ID: string }).AWS_ACCESS_KEY_ID)?.roleName).toBe('env-role');
  });

  test('is run by Node 24', async () => {
    aws.functions.deploy({ name: 'node', folder: functionFolder('return process.version;') });

    expect((await aws.functions.invoke('node', {})).payload).toMatch(/^v24\./);
  });

  test('that writes a line has it in the logs of its invocation, between START and REPORT', async () => {
    aws.functions.deploy({ name: 'log', folder: functionFolder('console.log("out", event.n); console.error("err");') });
    await aws.functions.invoke('log', { n: 1 });

    const { logs } = await aws.functions.invoke('log', { n: 2 });
    expect(logs[0]).toMatch(/^START RequestId: /);
    expect([...logs].slice(1, 3).sort()).toEqual(['err', 'out 2']);
    expect(logs.at(-1)).toMatch(/^REPORT RequestId: .*Duration: .*Max Memory Used: /);
    expect(aws.functions.logs('log')).toContain('out 1');
  });
});

describe('a function error', () => {
  test('has the type, the message and the trace of what was thrown', async () => {
    aws.functions.deploy({ name: 'throws', folder: functionFolder('throw new RangeError("too far");') });

    expect(await aws.functions.invoke('throws', {})).toMatchObject({
      ok: false,
      payload: {
        errorType: 'RangeError',
        errorMessage: 'too far',
        trace: expect.arrayContaining(['RangeError: too far']),
      },
    });
  });

  test('is logged with every property of the error, as Lambda does', async () => {
    const folder = functionFolder('throw Object.assign(new Error("no"), { sql: "SELECT 1" });');
    aws.functions.deploy({ name: 'throws', folder });

    const { logs } = await aws.functions.invoke('throws', {});
    expect(logs.join('\n')).toContain('"sql":"SELECT 1"');
  });

  test('of something that is no error names its type', async () => {
    aws.functions.deploy({ name: 'throws', folder: functionFolder('throw "text";') });

    expect((await aws.functions.invoke('throws', {})).payload).toEqual({
      errorType: 'string',
      errorMessage: 'text',
      trace: [],
    });
  });

  test('leaves the environment usable', async () => {
    const folder = functionFolder('if (event.fail) throw new Error("x"); return process.pid;');
    aws.functions.deploy({ name: 'f', folder });
    const before = await aws.functions.invoke('f', {});
    await aws.functions.invoke('f', { fail: true });

    expect((await aws.functions.invoke('f', {})).payload).toBe(before.payload);
  });

  test('is reported for a promise that nobody handles', async () => {
    const folder = functionFolder(
      'Promise.reject(new Error("lost")); await new Promise(() => setInterval(() => 0, 50));',
    );
    aws.functions.deploy({ name: 'f', folder });

    expect((await aws.functions.invoke('f', {})).payload).toMatchObject({
      errorType: 'Runtime.UnhandledPromiseRejection',
      errorMessage: 'Error: lost',
    });
  });
});

describe('a function that cannot start', () => {
  test.each([
    ['Runtime.ImportModuleError', 'import "./missing.mjs"; export const handler = async () => 1;'],
    ['Runtime.UserCodeSyntaxError', 'export const handler = async () => {'],
    ['Runtime.HandlerNotFound', 'export const other = async () => 1;'],
    ['Runtime.CallbackHandlerDeprecated', 'export const handler = (event, context, callback) => callback(null, 1);'],
    ['TypeError', 'null.x; export const handler = async () => 1;'],
  ])('fails its invocation with %s', async (errorType, source) => {
    aws.functions.deploy({ name: 'broken', folder: moduleFolder(source) });

    expect(await aws.functions.invoke('broken', {})).toMatchObject({ ok: false, payload: { errorType } });
  });

  test('that exits while it starts fails with Runtime.ExitError', async () => {
    aws.functions.deploy({ name: 'exits', folder: moduleFolder('process.exit(7);') });

    expect((await aws.functions.invoke('exits', {})).payload).toEqual({
      errorType: 'Runtime.ExitError',
      errorMessage: expect.stringMatching(/^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 7$/),
    });
  });
});

describe('an environment', () => {
  const COUNTER = 'calls += 1; return { calls, pid: process.pid };';

  test('is used again when it is idle', async () => {
    aws.functions.deploy({ name: 'warm', folder: functionFolder(COUNTER, 'let calls = 0;') });
    const first = await aws.functions.invoke('warm', {});
    const second = await aws.functions.invoke('warm', {});

    expect(second.payload).toEqual({ calls: 2, pid: (first.payload as { pid: number }).pid });
    expect(first.logs.at(-1)).toContain('Init Duration');
    expect(second.logs.at(-1)).not.toContain('Init Duration');
  });

  test('is a new process each time when reuse is off', async () => {
    aws.functions.deploy({ name: 'cold', folder: functionFolder(COUNTER, 'let calls = 0;'), reuse: false });
    const first = await aws.functions.invoke('cold', {});
    const second = await aws.functions.invoke('cold', {});

    expect(second.payload).toMatchObject({ calls: 1 });
    expect(second.payload).not.toEqual(first.payload);
  });

  test('handles one invocation at a time; another one gets an environment of its own', async () => {
    const folder = functionFolder(
      'mine += 1; const during = mine; await new Promise((done) => setTimeout(done, 100)); mine -= 1; return { during, pid: process.pid };',
      'let mine = 0;',
    );
    aws.functions.deploy({ name: 'slow', folder });
    const results = await Promise.all([1, 2].map(() => aws.functions.invoke('slow', {})));
    const payloads = results.map(({ payload }) => payload as { during: number; pid: number });

    expect(payloads.map(({ during }) => during)).toEqual([1, 1]);
    expect(new Set(payloads.map(({ pid }) => pid)).size).toBe(2);
  });

  test('is not used again after the function was deployed anew', async () => {
    aws.functions.deploy({ name: 'f', folder: functionFolder('return "old";') });
    await aws.functions.invoke('f', {});
    aws.functions.deploy({ name: 'f', folder: functionFolder('return "new";') });

    expect((await aws.functions.invoke('f', {})).payload).toBe('new');
  });
});

describe('a limit', () => {
  test('of time ends the process at the deadline', async () => {
    aws.functions.deploy({
      name: 'hangs',
      folder: functionFolder('console.log("begun"); await new Promise(() => setInterval(() => 0, 50));'),
      timeoutSeconds: 1,
    });

    const result = await aws.functions.invoke('hangs', {});
    expect(result.payload).toEqual({
      errorType: 'Sandbox.Timedout',
      errorMessage: expect.stringMatching(/^RequestId: [0-9a-f-]{36} Error: Task timed out after 1\.00 seconds$/),
    });
    expect(result.logs).toContain('begun');
    expect(result.logs.join('\n')).toMatch(/Task timed out after 1\.00 seconds/);
  });

  test('of time stops a handler that blocks the event loop too', async () => {
    aws.functions.deploy({ name: 'spins', folder: functionFolder('for (;;);'), timeoutSeconds: 1 });

    expect((await aws.functions.invoke('spins', {})).payload).toMatchObject({ errorType: 'Sandbox.Timedout' });
  });

  test('of memory ends a process whose heap grows', async () => {
    const folder = functionFolder('const keep = []; for (;;) keep.push(new Array(1e5).fill({}));');
    aws.functions.deploy({ name: 'heap', folder, timeoutSeconds: 30 });

    expect((await aws.functions.invoke('heap', {})).payload).toMatchObject({
      errorType: 'Runtime.ExitError',
      errorMessage: expect.stringMatching(/signal: (killed|aborted)$/),
    });
  });

  // Elsewhere the sandbox cannot see the resident set, and only the heap is limited.
  if (process.platform === 'linux')
    test('of memory ends a process whose buffers grow outside the heap', async () => {
      const folder = functionFolder(
        'const keep = []; for (;;) { keep.push(Buffer.alloc(5e6, 1)); await new Promise((done) => setTimeout(done, 1)); }',
      );
      aws.functions.deploy({ name: 'buffers', folder, timeoutSeconds: 30 });

      const { payload, logs } = await aws.functions.invoke('buffers', {});
      expect(payload).toMatchObject({ errorMessage: expect.stringMatching(/signal: killed$/) });
      expect(logs.at(-1)).toContain('Error Type: Runtime.OutOfMemory');
    });
});

describe('a kill', () => {
  test('fails the invocation under way with Runtime.ExitError', async () => {
    const folder = functionFolder('await new Promise(() => setInterval(() => 0, 50));');
    aws.functions.deploy({ name: 'victim', folder, timeoutSeconds: 30 });
    const result = aws.functions.invoke('victim', {});
    await eventually('the function to log', () => aws.functions.logs('victim').length > 0);

    expect(aws.functions.kill('victim')).toBe(1);
    expect((await result).payload).toMatchObject({
      errorType: 'Runtime.ExitError',
      errorMessage: expect.stringMatching(/signal: killed$/),
    });
  });

  test('from an injected fault hits the function in the middle of its call', async () => {
    const folder = functionFolder(
      `const answer = await fetch(process.env.AWS_ENDPOINT_URL, { method: "POST", headers: {
         "content-type": "application/x-www-form-urlencoded",
         authorization: "AWS4-HMAC-SHA256 Credential=" + process.env.AWS_ACCESS_KEY_ID + "/20260101/eu-west-1/sts/aws4_request" },
         body: "Action=GetCallerIdentity&Version=2011-06-15" });
       return answer.status;`,
    );
    aws.functions.deploy({ name: 'caller', folder, timeoutSeconds: 10 });
    aws.inject(({ operation }) =>
      operation === 'GetCallerIdentity'
        ? { kind: 'run', when: 'before', action: () => void aws.functions.kill('caller') }
        : undefined,
    );

    expect((await aws.functions.invoke('caller', {})).payload).toMatchObject({ errorType: 'Runtime.ExitError' });
    aws.inject(undefined);
    expect(await aws.functions.invoke('caller', {})).toMatchObject({ ok: true, payload: 200 });
  });

  test('of a function that does nothing hits nobody', async () => {
    aws.functions.deploy({ name: 'idle', folder: functionFolder('return process.pid;') });
    const before = await aws.functions.invoke('idle', {});

    expect(aws.functions.kill('idle')).toBe(0);
    expect((await aws.functions.invoke('idle', {})).payload).toBe(before.payload);
  });
});

test('closing ends every process, busy or idle', async () => {
  const sandbox = await startAws();
  const logPid = 'console.log(process.pid);';
  sandbox.functions.deploy({ name: 'idle', folder: functionFolder(logPid) });
  sandbox.functions.deploy({
    name: 'busy',
    folder: functionFolder(`${logPid} await new Promise(() => setInterval(() => 0, 50));`),
    timeoutSeconds: 60,
  });
  const pids = () =>
    ['idle', 'busy'].flatMap((name) => sandbox.functions.logs(name).filter((line) => /^\d+$/.test(line)));
  await sandbox.functions.invoke('idle', {});
  const underWay = sandbox.functions.invoke('busy', {});
  await eventually('two processes', () => pids().length === 2);
  expect(pids().filter(isAlive)).toHaveLength(2);

  await sandbox.close();

  expect((await underWay).ok).toBe(false);
  expect(pids().filter(isAlive)).toEqual([]);
});

describe('a deployment is refused', () => {
  test.each([
    ['without index.mjs', { folder: '/nowhere' }],
    ['with less than 128 MB', { memoryMb: 64 }],
    ['with a time-out of more than 900 seconds', { timeoutSeconds: 901 }],
    ['with a reserved environment variable', { environment: { AWS_REGION: 'x' } }],
    ['with more than 4 KB of environment variables', { environment: { LONG: 'x'.repeat(4_097) } }],
    ['with a name that Lambda does not take', { name: 'a b' }],
  ])('%s', (_what, wrong) => {
    const right = { name: 'f', folder: functionFolder('') };
    expect(() => aws.functions.deploy({ ...right, ...wrong })).toThrow(
      expect.objectContaining({ code: 'InvalidParameterValueException' }),
    );
  });
});

describe("Lambda's API", () => {
  const client = () => new LambdaClient(aws.clientOptions);

  test('invokes and answers payload, version and the tail of the log', async () => {
    aws.functions.deploy({ name: 'echo', folder: functionFolder('console.log("seen"); return event;') });

    const answer = await client().send(
      new InvokeCommand({ FunctionName: 'echo', Payload: JSON.stringify({ a: 1 }), LogType: 'Tail' }),
    );
    expect(answer).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' });
    expect(answer.FunctionError).toBeUndefined();
    expect(JSON.parse(answer.Payload?.transformToString() ?? '')).toEqual({ a: 1 });
    expect(Buffer.from(answer.LogResult ?? '', 'base64').toString()).toMatch(/^START[\s\S]*seen\n[\s\S]*REPORT/);
  });

  test('answers 200 with FunctionError when the function failed', async () => {
    aws.functions.deploy({ name: 'throws', folder: functionFolder('throw new Error("x");') });

    const answer = await client().send(new InvokeCommand({ FunctionName: 'throws' }));
    expect(answer).toMatchObject({ StatusCode: 200, FunctionError: 'Unhandled' });
    expect(JSON.parse(answer.Payload?.transformToString() ?? '')).toMatchObject({ errorType: 'Error' });
  });

  test('answers 202 for an event and runs the function afterwards', async () => {
    aws.functions.deploy({ name: 'later', folder: functionFolder('console.log("ran");') });

    const answer = await client().send(new InvokeCommand({ FunctionName: 'later', InvocationType: 'Event' }));
    expect(answer.StatusCode).toBe(202);
    await aws.idle();
    expect(aws.functions.logs('later')).toContain('ran');
  });

  test('tries an event that fails three times in all, under one request id', async () => {
    aws.functions.deploy({ name: 'fails', folder: functionFolder('throw new Error("x");') });
    await client().send(new InvokeCommand({ FunctionName: 'fails', InvocationType: 'Event' }));
    await aws.idle();

    const starts = aws.functions.logs('fails').filter((line) => line.startsWith('START'));
    expect(starts).toHaveLength(3);
    expect(new Set(starts).size).toBe(1);
  });

  test('says that a function does not exist', async () => {
    await expect(client().send(new InvokeCommand({ FunctionName: 'none' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'Function not found: arn:aws:lambda:eu-west-1:111122223333:function:none',
      $metadata: { httpStatusCode: 404 },
    });
  });

  test('lists and describes functions', async () => {
    const FunctionArn = aws.functions.deploy({
      name: 'f',
      folder: functionFolder(''),
      memoryMb: 512,
      timeoutSeconds: 9,
    });

    const { Functions } = await client().send(new ListFunctionsCommand({}));
    expect(Functions).toMatchObject([{ FunctionName: 'f', FunctionArn, Runtime: 'nodejs24.x' }]);
    const { Configuration } = await client().send(new GetFunctionCommand({ FunctionName: FunctionArn }));
    expect(Configuration).toMatchObject({ MemorySize: 512, Timeout: 9, State: 'Active' });
  });
});

function isAlive(pid: string): boolean {
  try {
    return process.kill(Number(pid), 0);
  } catch {
    return false;
  }
}
