import type { Pod } from '../objects.ts';

/** What goes wrong with a pod, on purpose. It is asked again at every attempt, so a cause may come and go. */
export type PodBehaviour =
  | { readonly kind: 'normal' }
  /** The image cannot be pulled: ImagePullBackOff. */
  | { readonly kind: 'image' }
  /** The containers start and exit with 1: CrashLoopBackOff. */
  | { readonly kind: 'crash' }
  /** The containers run and never become ready. */
  | { readonly kind: 'unready' }
  /** The volumes cannot be mounted: ContainerCreating, with FailedMount events. */
  | { readonly kind: 'mount' }
  /** The driver ends in the middle of the first mount: after that the directory counts as mounted, and is empty. */
  | { readonly kind: 'interrupted-mount' }
  /** The containers take this much longer to start. */
  | { readonly kind: 'slow'; readonly milliseconds: number };

/** On a pod (so: in a pod template): `image`, `crash`, `unready`, `mount`, `interrupted-mount` or `slow:MILLISECONDS`. */
const FAIL_ANNOTATION = 'rekey-sandbox.dev/fail';

export function annotatedBehaviour(pod: Pod): PodBehaviour {
  const [kind, milliseconds] = (pod.metadata.annotations?.[FAIL_ANNOTATION] ?? 'normal').split(':');
  switch (kind) {
    case 'image':
    case 'crash':
    case 'unready':
    case 'mount':
    case 'interrupted-mount':
      return { kind };
    case 'slow':
      return { kind, milliseconds: Number(milliseconds) };
    default:
      return { kind: 'normal' };
  }
}
