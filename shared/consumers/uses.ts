import type { CsiDriver } from '../cluster/port.ts';

/** How a pod gets a secret. `unrecorded`: mounted, but the driver records another secret's version, or a parameter's. */
export type How =
  | 'csi-file'
  | 'csi-sub-path'
  | 'csi-unrecorded'
  | 'csi-environment'
  | 'external-environment'
  | 'external-file'
  /** Rekey is told of it by an annotation alone. */
  | 'named';

/** What Rekey may do about its pods: `run` makes new ones by itself, `left` is anything that Rekey never touches. */
export type Steering = 'restart' | 'annotate' | 'run' | 'left';

/**
 * What follows from a use. `use` is its letter in docs/uses.md.
 *
 * `first`: what has to be so before a new pod gets the version. `restarts`: how many it takes. `evidence` of a pod:
 * `mount` and, unless its application reads again, containers that started after it; `start`: containers that started
 * once the Kubernetes Secret had the version; `template`: that it was made from the marked template.
 */
export interface Choice {
  readonly use: 'A' | 'B' | 'C' | 'D' | 'E' | 'F' | 'G';
  readonly first: 'nothing' | 'driver' | 'force-sync';
  readonly restarts: 0 | 1 | 2;
  readonly evidence: 'mount' | 'start' | 'template';
  /** Why it cannot be proved, and what to do, in words that follow "it". */
  readonly refused?: string;
}

const ROTATION_OFF = 'the rotation of the CSI driver is off: switch it on (enableSecretRotation)';

/**
 * What to do about one use, by the way it comes into the pod: nothing else of the cluster is looked at.
 * @param driver undefined when no DaemonSet is recognised as the CSI driver
 */
export function choiceFor(how: How, steering: Steering, driver: CsiDriver | undefined): Choice {
  if (how === 'csi-environment') return environmentOfDriver(steering, driver);
  const first = how === 'external-environment' || how === 'external-file' ? 'force-sync' : 'nothing';
  const use = steering === 'run' ? 'G' : letterOf(how, steering);
  const evidence = EVIDENCE[how];
  const restarts = steering === 'restart' ? 1 : 0;
  const refused = steering === 'annotate' ? withoutRestart(how, driver) : undefined;
  return { use, first, restarts, evidence, ...(refused !== undefined && { refused }) };
}

const EVIDENCE: Readonly<Record<Exclude<How, 'csi-environment'>, Choice['evidence']>> = {
  'csi-file': 'mount',
  'csi-sub-path': 'mount',
  'csi-unrecorded': 'template',
  'external-environment': 'start',
  'external-file': 'start',
  named: 'template',
};

function letterOf(how: How, steering: Steering): Choice['use'] {
  switch (how) {
    case 'csi-file':
      return steering === 'annotate' ? 'A' : 'B';
    case 'csi-sub-path':
      return 'C';
    case 'external-environment':
      return 'E';
    case 'external-file':
      return 'F';
    default:
      return 'B';
  }
}

/** Why pods that are not restarted cannot be proved to have the version. */
function withoutRestart(how: How, driver: CsiDriver | undefined): string | undefined {
  const mode = 'rekey.dev/mode is annotate';
  switch (how) {
    case 'csi-file':
      return driver !== undefined && driver.rotation === undefined
        ? `${mode}, and ${ROTATION_OFF}, or use restart`
        : undefined;
    case 'csi-sub-path':
      return `${mode}, and a subPath never shows what the driver mounts later: use restart`;
    default:
      return `${mode}, where only a record of the driver can prove it: use restart`;
  }
}

/**
 * The driver writes the Kubernetes Secret after the mount, and the pod starts meanwhile. Up to 1.5 it only ever creates
 * it; its rotation alone writes to one that is there. From 1.6 each mount writes, too late for the pod that brings it: one
 * that is made when every mount has the version, as in a second restart, finds it there
 * (secrets-store-csi-driver: controllers/secretproviderclasspodstatus_controller.go, and "Known limitations").
 */
function environmentOfDriver(steering: Steering, driver: CsiDriver | undefined): Choice {
  const refusal = (refused: string): Choice => ({
    use: 'D',
    first: 'nothing',
    restarts: 0,
    evidence: 'start',
    refused,
  });
  if (steering === 'run')
    return refusal('gets it from a Secret that the CSI driver keeps as it was while a finished pod is there');
  if (steering === 'annotate')
    return refusal('rekey.dev/mode is annotate, and no record tells what a container has from a Secret: use restart');
  if (driver === undefined)
    return refusal('no DaemonSet is recognised as the CSI driver, so nothing tells whether it renews that Secret');
  const restarts = steering === 'restart' ? 1 : 0;
  if (driver.rotation !== undefined) return { use: 'D', first: 'driver', restarts, evidence: 'start' };
  if (!writesAtEachMount(driver)) return refusal(`${ROTATION_OFF}, for without it no mount ever renews that Secret`);
  return { use: 'D', first: 'nothing', restarts: steering === 'restart' ? 2 : 0, evidence: 'start' };
}

function writesAtEachMount({ version }: CsiDriver): boolean {
  return version !== undefined && (version.major > 1 || (version.major === 1 && version.minor >= 6));
}
