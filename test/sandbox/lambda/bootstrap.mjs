// The runtime inside a simulated execution environment: what /var/runtime/bootstrap of nodejs24.x does.
// Protocol: Lambda Developer Guide, "Using the Lambda runtime API". Runs the handler of one bundle, one event at a time.

import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { AWS_LAMBDA_RUNTIME_API, LAMBDA_TASK_ROOT, _HANDLER } = process.env;
// The handler may replace these.
const writeOut = process.stdout.write.bind(process.stdout);
const writeError = process.stderr.write.bind(process.stderr);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let currentRequestId;

process.on('uncaughtException', (error) => fail('Uncaught Exception', error, 129));
process.on('unhandledRejection', (reason) =>
  fail(
    'Unhandled Promise Rejection',
    Object.assign(new Error(String(reason)), { name: 'Runtime.UnhandledPromiseRejection', reason }),
    128,
  ),
);

const handler = await loadHandler().catch((error) => fail('Init Error', error, 1));

for (;;) {
  const next = await call('GET', '/invocation/next');
  const requestId = next.headers['lambda-runtime-aws-request-id'];
  currentRequestId = requestId;
  process.env['_X_AMZN_TRACE_ID'] = next.headers['lambda-runtime-trace-id'];
  let outcome;
  try {
    const result = await handler(JSON.parse(next.body), contextOf(next.headers));
    outcome = ['response', JSON.stringify(result ?? null)];
  } catch (error) {
    logError('Invoke Error', error);
    outcome = ['error', describe(error)];
  }
  await endOfOutput(requestId);
  currentRequestId = undefined;
  await call('POST', `/invocation/${requestId}/${outcome[0]}`, outcome[1]);
}

async function loadHandler() {
  const [file, name] = _HANDLER.split('.');
  let module;
  try {
    module = await import(pathToFileURL(join(LAMBDA_TASK_ROOT, `${file}.mjs`)).href);
  } catch (error) {
    if (error instanceof SyntaxError)
      throw named('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`, error);
    if (error?.code === 'ERR_MODULE_NOT_FOUND')
      throw named('Runtime.ImportModuleError', `Error: ${error.message}`, error);
    throw error;
  }
  const found = module[name];
  if (typeof found !== 'function') throw named('Runtime.HandlerNotFound', `${_HANDLER} is undefined or not exported`);
  // Node 24 removed them: Lambda Developer Guide, "Define Lambda function handler in Node.js".
  if (found.length > 2)
    throw named(
      'Runtime.CallbackHandlerDeprecated',
      'Callback-based function handlers are not supported by nodejs24.x',
    );
  return found;
}

function contextOf(headers) {
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  return {
    functionName: process.env['AWS_LAMBDA_FUNCTION_NAME'],
    functionVersion: process.env['AWS_LAMBDA_FUNCTION_VERSION'],
    memoryLimitInMB: process.env['AWS_LAMBDA_FUNCTION_MEMORY_SIZE'],
    logGroupName: process.env['AWS_LAMBDA_LOG_GROUP_NAME'],
    logStreamName: process.env['AWS_LAMBDA_LOG_STREAM_NAME'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    clientContext: undefined,
    identity: undefined,
    getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
  };
}

/** Reports to the invocation under way, or as a failed start, and ends the environment. */
async function fail(kind, error, exitCode) {
  logError(kind, error);
  if (currentRequestId) await endOfOutput(currentRequestId);
  const path = currentRequestId ? `/invocation/${currentRequestId}/error` : '/init/error';
  await call('POST', path, describe(error)).finally(() => process.exit(exitCode));
}

function describe(error) {
  if (!(error instanceof Error))
    return JSON.stringify({ errorType: typeof error, errorMessage: String(error), trace: [] });
  return JSON.stringify({
    errorType: error.name,
    errorMessage: error.message,
    trace: String(error.stack ?? '').split('\n'),
  });
}

/** Lambda logs every enumerable property of an error too: a driver's error would carry its statement out here. */
function logError(kind, error) {
  const text =
    error instanceof Error
      ? JSON.stringify({
          errorType: error.name,
          errorMessage: error.message,
          ...error,
          stack: String(error.stack).split('\n'),
        })
      : String(error);
  writeError(`${new Date().toISOString()}\t${currentRequestId ?? 'undefined'}\tERROR\t${kind} \t${text}\n`);
}

/** Marks on both streams where the output of this invocation ends; the sandbox takes the marks out. */
function endOfOutput(requestId) {
  const mark = `\x1e${requestId}\n`;
  return Promise.all([writeOut, writeError].map((write) => new Promise((resolve) => write(mark, () => resolve()))));
}

function named(name, message, cause) {
  const error = new Error(message);
  error.name = name;
  if (cause) error.stack = `${name}: ${message}\n${String(cause.stack)}`;
  return error;
}

function call(method, path, body) {
  const [host, port] = AWS_LAMBDA_RUNTIME_API.split(':');
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, host, port, method, path: `/2018-06-01/runtime${path}` }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString('utf8') }));
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  }).catch(() => {
    // The sandbox is gone: nobody is left to run for.
    process.exit(1);
  });
}
