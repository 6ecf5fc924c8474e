import {
  type ControllerRevision,
  controllerReference,
  type DaemonSet,
  type PodTemplate,
  type StatefulSet,
  sameJson,
} from '../objects.ts';
import type { Client } from './client.ts';
import { templateHash } from './pods.ts';

export const REVISION_LABEL = 'controller-revision-hash';

/**
 * The revisions of a StatefulSet or DaemonSet, oldest first, the last one being its present template: an old
 * template that comes back becomes the newest again.
 */
export function syncRevisions(client: Client, owner: StatefulSet | DaemonSet): readonly ControllerRevision[] {
  const all = byNumber(client.controlled('controllerrevisions', owner));
  const newest = all.at(-1);
  const data = { spec: { template: { ...owner.spec.template, $patch: 'replace' } } };
  const same = all.find((one) => sameJson(one.data, data));
  if (same !== undefined && same === newest) return all;
  const revision = (newest?.revision ?? 0) + 1;
  if (same !== undefined) {
    client.edit(same, (draft) => {
      draft.revision = revision;
    });
  } else {
    const hash = templateHash(owner.spec.template);
    client.create('controllerrevisions', owner.metadata.namespace, {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: {
        name: `${owner.metadata.name}-${hash}`,
        labels: { ...owner.spec.template.metadata?.labels, [REVISION_LABEL]: hash },
        ownerReferences: [controllerReference(owner)],
      },
      revision,
      data,
    });
  }
  return byNumber(client.controlled('controllerrevisions', owner));
}

export function templateOf(revision: ControllerRevision): PodTemplate {
  const { $patch: _directive, ...template } = revision.data.spec.template as PodTemplate & { $patch?: string };
  return template;
}

/** Drops revisions beyond the history limit that nothing runs on. @param live names still in use */
export function truncateRevisions(
  client: Client,
  owner: StatefulSet | DaemonSet,
  revisions: readonly ControllerRevision[],
  live: ReadonlySet<string>,
): void {
  const unused = revisions.filter((one) => !live.has(one.metadata.name));
  const limit = owner.spec.revisionHistoryLimit ?? 10;
  for (const revision of unused.slice(0, Math.max(0, unused.length - limit))) client.delete(revision);
}

function byNumber(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  return [...revisions].sort((left, right) => left.revision - right.revision);
}
