import { createHash } from 'node:crypto';
import type { ExternalSecret } from '../../objects.ts';

/**
 * Whether the operator fetches again: `refreshPolicy`, `refreshInterval` and what it noted at its last success
 * (external-secrets, pkg/controllers/externalsecret: shouldRefresh).
 */
export function isDue({ metadata, spec, status }: ExternalSecret, nowMs: number): boolean {
  const { syncedResourceVersion = '', refreshTime } = status ?? {};
  const isFirst = syncedResourceVersion === '' || refreshTime === undefined;
  const isChanged = syncedResourceVersion !== versionOf({ metadata });
  switch (spec.refreshPolicy) {
    case 'CreatedOnce':
      return isFirst;
    case 'OnChange':
      return isFirst || isChanged;
    case 'Periodic':
    case undefined: {
      const intervalMs = durationMs(spec.refreshInterval ?? '1h');
      // An interval of zero means "once", whatever changes afterwards.
      if (intervalMs <= 0 && syncedResourceVersion !== '') return false;
      return isFirst || isChanged || Date.parse(refreshTime) + intervalMs < nowMs;
    }
  }
  return spec.refreshPolicy satisfies never;
}

/** When to look again, if nothing changes before; undefined: never. */
export function nextRefreshMs({ spec, status }: ExternalSecret, nowMs: number): number | undefined {
  if (spec.refreshPolicy === 'CreatedOnce' || spec.refreshPolicy === 'OnChange') return undefined;
  const intervalMs = durationMs(spec.refreshInterval ?? '1h');
  if (intervalMs <= 0 || status?.refreshTime === undefined) return undefined;
  return Math.max(1_000, Date.parse(status.refreshTime) + intervalMs - nowMs);
}

/** `status.syncedResourceVersion`: of what somebody asked for, labels and annotations included. */
export function versionOf({ metadata }: Pick<ExternalSecret, 'metadata'>): string {
  const { generation = 0, labels = {}, annotations = {} } = metadata;
  const hash = createHash('sha256')
    .update(JSON.stringify([sorted(labels), sorted(annotations)]))
    .digest('hex');
  return `${generation}-${hash.slice(0, 56)}`;
}

function sorted(map: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1));
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** Of Go's text: `1h30m`, `10s`, `0`. */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  return parts.reduce((sum, [, number, unit = '']) => sum + Number(number) * (UNITS[unit] ?? 0), 0);
}
