import type { Resource } from './resources.ts';

/** A `Status` object as the API answers every failure, with the codes and reasons of the real server. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly continue?: string };
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

export class StatusError extends Error {
  readonly status: Status;

  /** @param reason empty: the real server gives none either */
  constructor(code: number, reason: string, message: string, details?: StatusDetails, metadata = {}) {
    super(message);
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata,
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...(details ? { details } : {}),
      code,
    };
  }
}

export function notFound(resource: Resource, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${resourceName(resource)} "${name}" not found`, {
    name,
    ...groupOf(resource),
    kind: resource.plural,
  });
}

export function alreadyExists(resource: Resource, name: string): StatusError {
  return new StatusError(409, 'AlreadyExists', `${resourceName(resource)} "${name}" already exists`, {
    name,
    ...groupOf(resource),
    kind: resource.plural,
  });
}

export function conflict(resource: Resource, name: string, why: string): StatusError {
  return new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${resourceName(resource)} "${name}": ${why}`,
    { name, ...groupOf(resource), kind: resource.plural },
  );
}

export function staleResourceVersion(resource: Resource, name: string): StatusError {
  return conflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

/** @param causes what is wrong with which field; the message joins them as the real one does */
export function invalid(resource: Resource, name: string, causes: readonly StatusCause[]): StatusError {
  const text = causes.map((cause) => `${cause.field ?? '<nil>'}: ${cause.message}`);
  const list = text.length === 1 ? text[0] : `[${text.join(', ')}]`;
  const kind = resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
  return new StatusError(422, 'Invalid', `${kind} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    ...groupOf(resource),
    kind: resource.kind,
    causes,
  });
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

export function forbidden(resource: Resource, name: string, why: string, causes: readonly StatusCause[]): StatusError {
  return new StatusError(403, 'Forbidden', `${resourceName(resource)} "${name}" is forbidden: ${why}`, {
    name,
    ...groupOf(resource),
    kind: resource.plural,
    causes,
  });
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

/** A path that no resource serves. */
export function noSuchPath(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function expired(message: string, continueToken?: string): StatusError {
  return new StatusError(410, 'Expired', message, undefined, continueToken ? { continue: continueToken } : {});
}

export function methodNotAllowed(): StatusError {
  return new StatusError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  return new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}

/** `deployments.apps`, or `pods` in the core group. */
export function resourceName(resource: Resource): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

function groupOf(resource: Resource): { group?: string } {
  return resource.group === '' ? {} : { group: resource.group };
}
