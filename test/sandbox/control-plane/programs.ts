import { existsSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../../../.cache/control-plane');
const PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const;

export function program(name: (typeof PROGRAMS)[number]): string {
  return join(FOLDER, name);
}

export function isBuilt(): boolean {
  return PROGRAMS.every((name) => existsSync(program(name)));
}
