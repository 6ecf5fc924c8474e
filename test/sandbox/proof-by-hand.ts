import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../../infra/dist.ts';
import { markerOf } from '../../shared/consumers/marker.ts';

/** The command by which docs/events.md has a person see the proof, for one secret and namespace: one line for a shell. */
export async function proofCommand(secret: Parameters<typeof markerOf>[0], namespace: string): Promise<string> {
  const docs = await readFile(join(ROOT, 'docs/events.md'), 'utf8');
  const [, command] = /^(kubectl get pods,[^`]*?)\n```/m.exec(docs) ?? [];
  if (command === undefined) throw new Error('docs/events.md gives no command that shows the proof');
  return command
    .replaceAll(/\\\n\s*/g, '')
    .replace('<namespace>', namespace)
    .replace('<marker>', markerOf(secret, '').annotation.replaceAll('.', '\\.'));
}
