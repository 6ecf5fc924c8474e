import { parseArgs } from 'node:util';
import { HOW_TO_BUILD } from '../control-plane/programs.ts';
import { CLUSTER_KINDS, type ClusterKind } from './cluster.ts';

export const HELP = `npm run demo -- [--cluster sandbox|real] [--keep | --bad-release]

Rotates a password of a real PostgreSQL while applications keep logging in, rolls the pods that mount it, proves each,
and retires the old user. Runs the bundles that Lambda would run. AWS and the nodes of the cluster are simulated on this
machine.

  --cluster sandbox   a simulated Kubernetes (the default)
  --cluster real      Kubernetes' own API server, controllers and scheduler, with the rights and the policy of admission
                      that Rekey ships; once \`npm run cluster\` has built them
  --keep              leave everything up afterwards and print how to look around with aws and kubectl
  --bad-release       make the new pods of the first workload crash, and show that Rekey halts there

Exit codes: 0 all that it claims was so; 1 something was not; 2 nothing was started: the options are wrong, or no real
control plane is built.`;

export type Options =
  | { readonly kind: 'help' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'show'; readonly cluster: ClusterKind; readonly keep: boolean; readonly badRelease: boolean };

/** @param isBuilt whether there is a real control plane */
export function readOptions(args: readonly string[], isBuilt: () => boolean): Options {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    return { kind: 'refused', why: `${error instanceof Error ? error.message : error}\n\n${HELP}` };
  }
  const { cluster, keep, help, 'bad-release': badRelease } = values;
  if (help) return { kind: 'help' };
  if (!isClusterKind(cluster))
    return { kind: 'refused', why: `--cluster is ${CLUSTER_KINDS.join(' or ')}, not ${cluster}\n\n${HELP}` };
  if (cluster === 'real' && !isBuilt())
    return { kind: 'refused', why: `no real control plane is built, so nothing was started\n→ ${HOW_TO_BUILD}` };
  return { kind: 'show', cluster, keep, badRelease };
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      cluster: { type: 'string', default: 'sandbox' },
      keep: { type: 'boolean', default: false },
      'bad-release': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values;
}

function isClusterKind(name: string): name is ClusterKind {
  return (CLUSTER_KINDS as readonly string[]).includes(name);
}
