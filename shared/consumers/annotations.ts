import type { Workload } from '../cluster/port.ts';
import type { ConsumerProof } from '../operations/events.ts';
import { refersTo, type SecretIdentity } from './references.ts';

/** What the owner of a workload writes on it for Rekey to read. What Rekey writes itself is in marker.ts. */

export type Mode = ConsumerProof['mode'];

const MODE = 'rekey.dev/mode';
const WAVE = 'rekey.dev/wave';
export const SECRETS = 'rekey.dev/secrets';
/** On a workload with the update strategy OnDelete: {@link EVICT} has its pods of before replaced, one by one. */
const ON_DELETE = 'rekey.dev/on-delete';
const EVICT = 'evict';

export const DEFAULT_WAVE = 1;

/** `rekey.dev/secrets`: names and ARNs, set apart by commas or blanks. */
export function namesIn({ annotations }: Pick<Workload, 'annotations'>): readonly string[] {
  return (annotations.get(SECRETS) ?? '').split(/[\s,]+/).filter((name) => name !== '');
}

/** Whether that annotation names the secret, or a replica of it. */
export function isNamed(secret: SecretIdentity, one: Pick<Workload, 'annotations'>, region: string): boolean {
  return namesIn(one).some((name) => refersTo(name, region, secret));
}

/** What the owner asks for. A word that is not understood leaves the workload alone: `of` may have meant `off`. */
export function steeringOf({ annotations }: Workload): {
  readonly mode: Mode;
  readonly wave: number;
  readonly faults: readonly string[];
} {
  const faults: string[] = [];
  const mode = annotations.get(MODE) ?? 'restart';
  const known = mode === 'restart' || mode === 'annotate' || mode === 'off';
  if (!known) faults.push(`${MODE} is not restart, annotate or off: the workload is left alone`);
  const wave = annotations.get(WAVE) ?? String(DEFAULT_WAVE);
  const counted = /^\d{1,4}$/.test(wave);
  if (!counted) faults.push(`${WAVE} is not a whole number from 0 to 9999: taken as ${DEFAULT_WAVE}`);
  const onDelete = annotations.get(ON_DELETE) ?? EVICT;
  if (onDelete !== EVICT) faults.push(`${ON_DELETE} is not ${EVICT}: nothing is evicted`);
  return { mode: known ? mode : 'off', wave: counted ? Number(wave) : DEFAULT_WAVE, faults };
}

/** Whether the owner of a workload with the update strategy OnDelete asks for evictions. */
export function asksForEvictions({ rollout, annotations }: Workload): boolean {
  return rollout.onDelete && annotations.get(ON_DELETE) === EVICT;
}
