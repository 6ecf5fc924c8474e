import { z } from 'zod';
import type { DeployedFunction, Functions } from '../lambda/functions.ts';
import { handleWith, operation } from './operation.ts';
import type { AwsService, RestAnswer } from './service.ts';

const FUNCTIONS_PATH = /^\/2015-03-31\/functions(?:\/([^/]+)(\/invocations|\/configuration)?)?\/?$/;
/** Invoke API: the last 4 KB of the log. */
const LOG_TAIL_BYTES = 4 * 1024;

const named = z.object({ FunctionName: z.string() });

interface Invoked {
  readonly status: 200 | 202 | 204;
  readonly payload?: unknown;
  readonly functionError?: 'Unhandled';
  readonly logTail?: string;
}

/** Lambda's API over the sandbox's functions: enough to invoke and to look at them. */
export function createLambda(functions: Functions): AwsService {
  const operations = {
    Invoke: operation(
      named.extend({
        InvocationType: z.enum(['RequestResponse', 'Event', 'DryRun']).default('RequestResponse'),
        LogType: z.enum(['None', 'Tail']).default('None'),
        Payload: z.unknown(),
      }),
      async ({ FunctionName, InvocationType, LogType, Payload }): Promise<Invoked> => {
        if (InvocationType === 'DryRun') {
          functions.find(FunctionName);
          return { status: 204 };
        }
        if (InvocationType === 'Event') {
          functions.invokeLater(FunctionName, Payload);
          return { status: 202 };
        }
        const { ok, payload, logs } = await functions.invoke(FunctionName, Payload);
        return {
          status: 200,
          payload,
          ...(ok ? {} : { functionError: 'Unhandled' }),
          ...(LogType === 'Tail' ? { logTail: `${logs.join('\n')}\n` } : {}),
        };
      },
      'InvalidParameterValueException',
    ),
    ListFunctions: operation(z.object({}), () => ({ Functions: functions.list().map(configuration) })),
    GetFunction: operation(named, ({ FunctionName }) => ({
      Configuration: configuration(functions.find(FunctionName)),
      Code: { RepositoryType: 'S3' },
    })),
    GetFunctionConfiguration: operation(named, ({ FunctionName }) => configuration(functions.find(FunctionName))),
  };

  return {
    name: 'lambda',
    protocols: [
      {
        kind: 'rest-json',
        route(method, path, _query, body, headers) {
          const match = FUNCTIONS_PATH.exec(path);
          if (!match) return undefined;
          const [, encodedName, rest] = match;
          const input = { FunctionName: decodeURIComponent(encodedName ?? '') };
          if (method === 'POST' && rest === '/invocations')
            return {
              operation: 'Invoke',
              input: {
                ...input,
                InvocationType: headers['x-amz-invocation-type'],
                LogType: headers['x-amz-log-type'],
                Payload: body,
              },
            };
          if (method !== 'GET' || rest === '/invocations') return undefined;
          if (!encodedName) return { operation: 'ListFunctions', input: {} };
          return { operation: rest ? 'GetFunctionConfiguration' : 'GetFunction', input };
        },
        answer: (name, output) => (name === 'Invoke' ? invokeAnswer(output as Invoked) : { status: 200, body: output }),
      },
    ],
    handle: handleWith(operations),
    denial: { code: 'AccessDeniedException', status: 403 },
    needs(name, input) {
      const { FunctionName } = (input ?? {}) as { readonly FunctionName?: string };
      const action = name === 'Invoke' ? 'lambda:InvokeFunction' : `lambda:${name}`;
      return [{ action, resource: FunctionName ? functions.arnOf(FunctionName) : '*' }];
    },
  };
}

/** The payload is the body; everything else of an invocation travels in headers. */
function invokeAnswer({ status, payload, functionError, logTail }: Invoked): RestAnswer {
  const headers = {
    'X-Amz-Executed-Version': '$LATEST',
    ...(functionError ? { 'X-Amz-Function-Error': functionError } : {}),
    ...(logTail ? { 'X-Amz-Log-Result': Buffer.from(logTail).subarray(-LOG_TAIL_BYTES).toString('base64') } : {}),
  };
  return { status, headers, ...(status === 200 ? { body: payload } : {}) };
}

function configuration(deployed: DeployedFunction): object {
  return {
    FunctionName: deployed.name,
    FunctionArn: deployed.arn,
    Runtime: 'nodejs24.x',
    Role: deployed.roleArn,
    Handler: 'index.handler',
    Timeout: deployed.timeoutSeconds,
    MemorySize: deployed.memoryMb,
    LastModified: deployed.deployedAt.toISOString(),
    Version: '$LATEST',
    PackageType: 'Zip',
    State: 'Active',
    LastUpdateStatus: 'Successful',
    Environment: { Variables: deployed.environment },
  };
}
