import { systemClock } from '../../shared/operations/clock.ts';
import { rememberVersions } from '../../shared/secrets/remembered-versions.ts';
import { createMemorySecrets } from './fakes/secret-store.ts';
import { secretStoreContract } from './secret-store.ts';

secretStoreContract('memory', async () => memory());

secretStoreContract('memory, with versions remembered', async () => {
  const inner = memory();
  return { ...inner, store: rememberVersions(inner.store, systemClock) };
});

function memory() {
  const secrets = createMemorySecrets();
  return {
    store: secrets.store,
    create: async (value: string, tags?: Record<string, string>) => secrets.create('app/db', value, tags),
    beginRotation: async (arn: string) => secrets.beginRotation(arn),
    put: async (arn: string, value: string) => secrets.put(arn, value),
    scheduleDeletion: async (arn: string) => {
      secrets.secret(arn).deletedAtMs = 1;
    },
    close: async () => {},
  };
}
