import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where `npm run cluster` puts what it builds. */
export const FOLDER = join(import.meta.dirname, '../../../.cache/control-plane');
const PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const;

/** For people, where {@link isBuilt} is false. */
export const HOW_TO_BUILD = 'build a real control plane by: npm run cluster (needs Go 1.26; 6 minutes, once)';

export function program(name: (typeof PROGRAMS)[number]): string {
  return join(FOLDER, name);
}

export function isBuilt(): boolean {
  return PROGRAMS.every((name) => existsSync(program(name)));
}
