import type { Clock } from '../operations/clock.ts';
import type { SecretStore, StoredValue } from './port.ts';

/** The four steps of a rotation follow each other within seconds, mostly in one process. */
const REMEMBERED_MS = 60_000;

/**
 * A store that asks for the value of a version once a rotation rather than once a step. That is sound because the
 * value of a version never changes: another one under its id is refused (Secrets Manager API, PutSecretValue). What does
 * change, labels and tags, is asked for each time.
 *
 * It holds as little as it can: the versions of one secret, for a minute, and none once AWSCURRENT has moved.
 */
export function rememberVersions(store: SecretStore, clock: Clock): SecretStore {
  const values = new Map<string, StoredValue>();
  let held: { readonly secretId: string; readonly untilMs: number } | undefined;

  /** What another secret left, or time, is forgotten. */
  function holdFor(secretId: string) {
    if (held?.secretId === secretId && clock.now() < held.untilMs) return;
    values.clear();
    held = { secretId, untilMs: clock.now() + REMEMBERED_MS };
  }

  return {
    ...store,
    async read(secretId, versionId) {
      holdFor(secretId);
      const known = values.get(versionId);
      if (known) return known;
      const stored = await store.read(secretId, versionId);
      if (stored) {
        holdFor(secretId);
        values.set(versionId, stored);
      }
      return stored;
    },
    async moveCurrent(secretId, move) {
      values.clear();
      await store.moveCurrent(secretId, move);
    },
  };
}
