import { createMemorySecrets } from './fakes/secret-store.ts';
import { secretStoreContract } from './secret-store.ts';

secretStoreContract('memory', async () => {
  const secrets = createMemorySecrets();
  return {
    store: secrets.store,
    create: async (value, tags) => secrets.create('app/db', value, tags),
    beginRotation: async (arn) => secrets.beginRotation(arn),
    put: async (arn, value) => secrets.put(arn, value),
    scheduleDeletion: async (arn) => {
      secrets.secret(arn).deletedAtMs = 1;
    },
    close: async () => {},
  };
});
