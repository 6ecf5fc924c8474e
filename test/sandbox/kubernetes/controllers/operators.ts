import type { ComponentClient } from '../component-client.ts';
import { startArgoRollouts } from './argo-rollouts.ts';
import { startExternalSecrets } from './external-secrets/index.ts';
import type { AwsSecrets } from './external-secrets/provider.ts';
import type { Activity, Reconciler } from './reconciler.ts';

export interface OperatorsOptions {
  readonly client: ComponentClient;
  readonly activity: Activity;
  /** What External Secrets reads, as whoever it is in AWS. */
  readonly aws: AwsSecrets;
}

export interface Operators {
  readonly reconcilers: readonly Reconciler[];
  /** The External Secrets Operator does nothing until the returned function is called. */
  holdExternalSecrets(): () => void;
}

/** What people install beside Kubernetes, simulated, in either cluster of the tests; none where its kinds are missing. */
export function startOperators({ client, activity, aws }: OperatorsOptions): Operators {
  const externalSecrets = client.serves('externalsecrets') ? startExternalSecrets({ client, activity, aws }) : [];
  const argoRollouts = client.serves('rollouts') ? [startArgoRollouts(client, activity)] : [];
  return {
    reconcilers: [...externalSecrets, ...argoRollouts],
    holdExternalSecrets() {
      const releases = externalSecrets.map((one) => one.hold());
      return () => {
        for (const release of releases) release();
      };
    },
  };
}
