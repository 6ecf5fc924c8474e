import { fileURLToPath } from 'node:url';

/** The rights that infra ships for Rekey's groups. */
export const RBAC = fileURLToPath(new URL('../../../infra/kubernetes/base/rekey.yaml', import.meta.url));
