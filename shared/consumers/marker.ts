import type { Marker } from '../cluster/port.ts';

const PREFIX = 'rekey.dev/';

/** Kubernetes' limit for what follows the slash of an annotation's key. */
const MAX_LENGTH = 63;

/**
 * The annotation that says to which version of a secret a workload was rolled. Its value is the versionId alone, so
 * that writing it again changes nothing.
 *
 * The ARN's last six characters tell apart what the safe name cannot: `app/db` and `app-db`, or a secret that was
 * deleted and made anew. Keys are `[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?` (Kubernetes, "Labels and annotations").
 */
export function markerOf(secret: { readonly arn: string; readonly name: string }, versionId: string): Marker {
  const suffix = secret.arn.slice(-6);
  const safe = secret.name.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  const name = safe.slice(0, MAX_LENGTH - suffix.length - 1) || 'secret';
  return { annotation: `${PREFIX}${name}-${suffix}`, versionId };
}

/** On the object: to which version it was rolled. Whoever takes the marker from the template leaves this one. */
export function rolledOf({ annotation, versionId }: Marker): Marker {
  return { annotation: `rolled.${annotation}`, versionId };
}

/** On the template: that it was rolled a second time to the same version, and will not be a third time. */
export function againOf({ annotation, versionId }: Marker): Marker {
  return { annotation: `again.${annotation}`, versionId };
}

/** On one object of all that use the secret: that people have heard of its convergence on this version. */
export function toldOf({ annotation, versionId }: Marker): Marker {
  return { annotation: `converged.${annotation}`, versionId };
}

export function has(annotations: ReadonlyMap<string, string>, { annotation, versionId }: Marker): boolean {
  return annotations.get(annotation) === versionId;
}
