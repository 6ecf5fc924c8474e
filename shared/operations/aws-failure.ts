/** What may be told of a call to AWS that failed. A failed request carries its input, and so perhaps a secret value. */
export interface AwsFailure {
  /** The service's name for the error. */
  readonly name: string;
  /** `unavailable`: the same call may succeed later. `foreign`: not an answer of AWS at all. */
  readonly kind: 'denied' | 'unavailable' | 'rejected' | 'foreign';
  /** The name, with the id of the request where there is one. */
  readonly said: string;
  /** What a person should do, where the failure itself tells it, whatever was asked for. */
  readonly action?: string;
}

const DENIED = new Set(['AccessDeniedException', 'AccessDenied']);
/** AWS does not know who asks, or there is nobody to ask as. */
const UNKNOWN = new Set([
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'InvalidClientTokenId',
  'CredentialsProviderError',
]);
/** What the function is called with the next time is new (STS and Query APIs leave the suffix out). */
const EXPIRED = new Set(['ExpiredTokenException', 'ExpiredToken']);
/**
 * A request carries its time, and AWS takes none that is off by minutes. The SDK corrects its clock and tries again, in
 * vain here. Lambda lags behind when it wakes from a pause, and mostly not the next time (aws/aws-sdk-js-v3#7605).
 */
const MISTIMED = new Set(['RequestExpired', 'RequestTimeTooSkewed', 'RequestInTheFuture']);
const THROTTLED = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown/;

export function awsFailure(error: unknown): AwsFailure {
  const name = textField(error, 'name') || typeof error;
  const metadata = objectField(error, '$metadata');
  const answered = objectField(error, '$fault') !== undefined;
  const requestId = answered ? textField(metadata, 'requestId') : '';
  const said = requestId === '' ? name : `${name} (request ${requestId})`;
  if (MISTIMED.has(name) || (UNKNOWN.has(name) && /^Signature (expired|not yet)/.test(textField(error, 'message'))))
    return { name, said: `${said}, for the clock of the function`, kind: 'unavailable', action: SET_THE_CLOCK };
  if (UNKNOWN.has(name)) return { name, said, kind: 'denied', action: CHECK_THE_CREDENTIALS };
  return { name, said, kind: kindOf(name, answered, metadata) };
}

const SET_THE_CLOCK =
  "The function's clock is minutes off. On Lambda the next try mostly has another; elsewhere set it (NTP).";
const CHECK_THE_CREDENTIALS = "AWS does not know the function's credentials: check that its role exists.";

function kindOf(name: string, answered: boolean, metadata: unknown): AwsFailure['kind'] {
  if (DENIED.has(name)) return 'denied';
  const status = answered ? objectField(metadata, 'httpStatusCode') : undefined;
  if ((typeof status === 'number' && status >= 500) || EXPIRED.has(name) || THROTTLED.test(name)) return 'unavailable';
  if (answered) return 'rejected';
  // The SDK counts attempts on whatever ended one: without an answer, nothing is known of what took effect.
  return metadata === undefined ? 'foreign' : 'unavailable';
}

/** By shape rather than by class: what Node itself throws is not always of this realm's Error. */
function objectField(error: unknown, field: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, field) : undefined;
}

/** A field of an error, or an empty text. The `message` may quote the request: to be tested, never to be told. */
export function textField(error: unknown, field: string): string {
  const value = objectField(error, field);
  return typeof value === 'string' ? value : '';
}
