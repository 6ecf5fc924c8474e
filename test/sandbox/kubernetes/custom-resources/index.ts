import { ARGO_ROLLOUTS } from './argo-rollouts.ts';
import { EXTERNAL_SECRETS } from './external-secrets.ts';
import { SECRETS_STORE } from './secrets-store.ts';

/** What is installed in a cluster of the tests beside what Kubernetes brings. */
export const CUSTOM_RESOURCES = [...SECRETS_STORE, ...EXTERNAL_SECRETS, ...ARGO_ROLLOUTS];
