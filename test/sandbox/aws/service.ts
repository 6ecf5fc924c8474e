/** One simulated AWS service: what the sandbox's server needs to know to put its operations on the wire. */
export interface AwsService {
  /** The name in a signature's credential scope: `secretsmanager`, `events`, `sqs`, … */
  readonly name: string;
  readonly protocols: readonly Protocol[];
  /**
   * @param input as parsed from the wire: JSON as it came; query parameters as nested objects and arrays
   * @returns the output members, instants as Date; for the query protocol, nested objects whose arrays repeat their element
   * @throws AwsError
   */
  handle(operation: string, input: unknown, caller: Caller): Promise<object>;
  /**
   * What IAM asks of the caller before the operation takes effect; an empty list: everybody may. A service without it
   * cannot be used where IAM is enforced.
   */
  needs?(operation: string, input: unknown, caller: Pick<Caller, 'accountId'>): readonly Need[];
  /** How the service says no. @default AccessDeniedException, 400 */
  readonly denial?: Denial;
  /** Answers a read from the state before the last write; a write takes effect as in `handle`. For the fault `stale`. */
  handleStale?(operation: string, input: unknown, caller: Caller): Promise<object>;
}

/** An error code and an HTTP status. */
export interface Denial {
  readonly code: string;
  readonly status: number;
}

/** A right that a call needs: Service Authorization Reference, "Actions, resources, and condition keys". */
export interface Need {
  /** `service:Operation` */
  readonly action: string;
  /** ARN, or `*` where the action knows no resources. */
  readonly resource: string;
  /** Condition keys of the service itself. */
  readonly context?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** What is answered instead of the service's own words. */
  readonly refusal?: string;
}

export interface Caller {
  /** Of whoever signed. */
  readonly accountId: string;
  readonly region: string;
  /** Of the credentials that signed the request. */
  readonly accessKeyId: string;
}

export type Protocol =
  | { readonly kind: 'json'; readonly version: '1.0' | '1.1'; readonly targetPrefix: string }
  | {
      readonly kind: 'query';
      readonly xmlNamespace: string;
      /** For a service that speaks JSON too, whose members are named otherwise there (SQS): to what `handle` takes. */
      readonly input?: (operation: string, input: object) => unknown;
      /** And from what `handle` returns to the elements of the XML answer. */
      readonly output?: (operation: string, output: object) => object;
    }
  | {
      readonly kind: 'rest-json';
      /**
       * The operation and its input for a method and path, or undefined when the path is not of this service.
       * @param path as sent, its segments still percent-encoded
       * @param body parsed JSON, undefined when there was none
       * @param headers names in lower case
       */
      readonly route: (
        method: string,
        path: string,
        query: URLSearchParams,
        body: unknown,
        headers: Readonly<Record<string, string | string[] | undefined>>,
      ) => { operation: string; input: unknown } | undefined;
      /** For operations whose answer is not 200 with all members in the body (Lambda's Invoke). */
      readonly answer?: (operation: string, output: object) => RestAnswer;
    };

export interface RestAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** An error as AWS answers it. */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  /** The code in the query protocol, which differs in services that moved from it to JSON (SQS). */
  readonly queryCode: string;

  constructor(code: string, message: string, status = 400, queryCode = code) {
    super(message);
    this.code = code;
    this.status = status;
    this.queryCode = queryCode;
  }
}

/** What `handle` throws for an operation that the service does not have. */
export function unknownOperation(operation: string): AwsError {
  return new AwsError(
    'UnknownOperationException',
    `The action ${operation} is not valid for this endpoint.`,
    400,
    'InvalidAction',
  );
}

/**
 * Something that goes wrong with one call, on purpose:
 * `refuse` answers an error before the call takes effect, `lose-answer` lets it take effect and cuts the connection,
 * `cut` cuts the connection before it takes effect, `stale` answers a read from the state before the last write,
 * `slow` lets it take effect and answers after a delay, `run` calls back before or after the effect (to kill a process, to count).
 */
export type Fault =
  | { readonly kind: 'refuse'; readonly error: AwsError }
  | { readonly kind: 'cut' }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'stale' }
  | { readonly kind: 'slow'; readonly milliseconds: number }
  | { readonly kind: 'run'; readonly when: 'before' | 'after'; readonly action: () => void | Promise<void> };

export interface Call {
  readonly service: string;
  readonly operation: string;
  readonly input: unknown;
  readonly caller: Caller;
  /** Counts all calls since the sandbox started, from 1. */
  readonly sequence: number;
}

/** Asked for every call; undefined lets it pass untouched. */
export type FaultInjector = (call: Call) => Fault | undefined;
