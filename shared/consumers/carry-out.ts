import type { Cluster } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError } from '../operations/errors.ts';
import type { ConsumerRef } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import { syncRequest } from './external-secrets.ts';
import type { Action } from './plan.ts';

export interface CarriedOut {
  /** How many actions changed something. */
  readonly done: number;
  /** What the cluster said to those that it refused for good, with who waits for them. */
  readonly refused: readonly { readonly consumer: ConsumerRef; readonly why: string }[];
}

/** Carries out what a plan asks for besides marks. One that fails does not keep the others from it. Never throws. */
export async function carryOut(
  actions: readonly Action[],
  deps: { readonly clusters: readonly Cluster[]; readonly clock: Pick<Clock, 'now'>; readonly log: Log },
  deadline: Deadline,
): Promise<CarriedOut> {
  let done = 0;
  const refused: CarriedOut['refused'][number][] = [];
  for (const action of actions) {
    const cluster = deps.clusters.find(({ name }) => name === action.cluster);
    if (cluster === undefined) continue;
    const fields = { action: action.kind, cluster: action.cluster, ...namesOf(action) };
    try {
      const result = await carryOutOne(action, cluster, deps.clock.now(), deadline);
      deps.log.info(result, fields);
      if (result === 'forced' || result === 'evicted') done += 1;
    } catch (thrown) {
      deps.log.warn('could not be carried out', { ...fields, error: thrown });
      const { code, message } = asRekeyError(thrown);
      if (code !== 'CLUSTER_ACCESS_DENIED' && code !== 'CLUSTER_REJECTED') continue;
      for (const consumer of waitingFor(action)) refused.push({ consumer, why: message });
    }
  }
  return { done, refused };
}

async function carryOutOne(action: Action, cluster: Cluster, nowMs: number, deadline: Deadline) {
  switch (action.kind) {
    case 'force-sync': {
      const { externalSecret, marker } = action;
      return await cluster.forceSync(externalSecret, syncRequest(externalSecret, marker, nowMs), deadline);
    }
    case 'evict':
      return await cluster.evict(action.pod, deadline);
  }
}

function namesOf(action: Action): { readonly namespace: string; readonly name: string } {
  const { namespace, name } = action.kind === 'evict' ? action.pod : action.externalSecret;
  return { namespace, name };
}

function waitingFor(action: Action): readonly ConsumerRef[] {
  return action.kind === 'evict' ? [action.consumer] : action.consumers;
}
