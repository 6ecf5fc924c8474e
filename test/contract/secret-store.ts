import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CURRENT, PENDING, PREVIOUS, type SecretStore, versionWithStage } from '../../shared/secrets/port.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';

/** A place with secrets, and what people and Secrets Manager itself do there. */
export interface SecretStoreHarness {
  readonly store: SecretStore;
  /** @returns the ARN */
  create(value: string, tags?: Record<string, string>): Promise<string>;
  /** Makes a version that carries AWSPENDING and has no value. @returns its id */
  beginRotation(arn: string): Promise<string>;
  /** A person's put-secret-value. @returns the id of the version */
  put(arn: string, value: string): Promise<string>;
  scheduleDeletion(arn: string): Promise<void>;
  close(): Promise<void>;
}

/** What Rekey relies on, of any place that keeps secrets. */
export function secretStoreContract(name: string, start: () => Promise<SecretStoreHarness>): void {
  describe(`${name} as a secret store`, () => {
    let harness: SecretStoreHarness;
    let store: SecretStore;
    let arn: string;
    let current: string;

    beforeEach(async () => {
      harness = await start();
      store = harness.store;
      arn = await harness.create('first', { team: 'payments', 'rekey:strategy': 'single-user' });
      current = versionWithStage(await store.describe(arn), CURRENT) ?? '';
    });
    afterEach(async () => {
      await harness.close();
    });

    const stageHolders = async () => {
      const secret = await store.describe(arn);
      return [CURRENT, PENDING, PREVIOUS].map((stage) => versionWithStage(secret, stage));
    };
    const writePending = async (versionId: string, value: string) =>
      await store.writeVersion({
        secretId: arn,
        versionId,
        stage: PENDING,
        value: new SecretValue(value),
        rotationToken: undefined,
      });
    const storedValue = async (versionId: string) => (await store.read(arn, versionId))?.value.expose();

    test('describes the ARN, the labels and the tags', async () => {
      const secret = await store.describe(arn);
      expect(secret.arn).toBe(arn);
      expect(secret.arn).toContain(secret.name);
      expect(secret.stages).toEqual(new Map([[current, [CURRENT]]]));
      expect(secret.tags).toEqual(
        new Map([
          ['team', 'payments'],
          ['rekey:strategy', 'single-user'],
        ]),
      );
      expect(secret.deletedAtMs).toBeUndefined();
      expect(secret.owningService).toBeUndefined();
    });

    test('a secret that does not exist is SECRET_NOT_FOUND for every call', async () => {
      const none = arn.replace(/.{6}$/, 'AbSent');
      const absent = { code: 'SECRET_NOT_FOUND' };
      await expect(store.describe(none)).rejects.toMatchObject(absent);
      await expect(store.read(none, current)).rejects.toMatchObject(absent);
      await expect(store.readStage(none, CURRENT)).rejects.toMatchObject(absent);
      await expect(store.moveCurrent(none, { from: current, to: current })).rejects.toMatchObject(absent);
    });

    test('a label without a value reads as undefined', async () => {
      const pending = await harness.beginRotation(arn);
      expect(await store.read(arn, pending)).toBeUndefined();
      expect(await store.readStage(arn, PENDING)).toBeUndefined();
      expect(versionWithStage(await store.describe(arn), PENDING)).toBe(pending);
    });

    test('a label that no version carries reads as undefined', async () => {
      expect(await store.readStage(arn, PREVIOUS)).toBeUndefined();
    });

    test('reads the value of a label with its version and whole ARN', async () => {
      const staged = await store.readStage(arn, CURRENT);
      expect(staged).toMatchObject({ arn, versionId: current });
      expect(staged?.value.expose()).toBe('first');
    });

    test('a pending value is stored under its token and leaves AWSCURRENT where it is', async () => {
      const pending = await harness.beginRotation(arn);
      expect(await writePending(pending, 'second')).toBe('stored');
      expect(await storedValue(pending)).toBe('second');
      expect(await stageHolders()).toEqual([current, pending, undefined]);
    });

    test('the same pending value again is a no-op', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      expect(await writePending(pending, 'second')).toBe('stored');
      expect(await storedValue(pending)).toBe('second');
    });

    test('another value under the same token is taken, and the first one stays', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      expect(await writePending(pending, 'third')).toBe('taken');
      expect(await storedValue(pending)).toBe('second');
    });

    test('moving AWSCURRENT takes AWSPREVIOUS along', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      await store.moveCurrent(arn, { from: current, to: pending });
      const [now, , previous] = await stageHolders();
      expect([now, previous]).toEqual([pending, current]);
    });

    test('AWSCURRENT does not move when someone moved it first', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      const theirs = await harness.put(arn, 'by hand');
      await expect(store.moveCurrent(arn, { from: current, to: pending })).rejects.toMatchObject({
        code: 'CURRENT_MOVED',
      });
      expect((await stageHolders())[0]).toBe(theirs);
    });

    test('a withdrawn pending version has no label left, and its value can no longer be promoted by mistake', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      await store.withdrawLabel(arn, PENDING, pending);
      expect(await stageHolders()).toEqual([current, undefined, undefined]);
    });

    test('withdrawing what is no longer pending changes nothing', async () => {
      const pending = await harness.beginRotation(arn);
      await writePending(pending, 'second');
      await store.withdrawLabel(arn, PENDING, pending);
      await store.withdrawLabel(arn, PENDING, pending);
      await store.withdrawLabel(arn, PENDING, current);
      expect(await stageHolders()).toEqual([current, undefined, undefined]);
    });

    test('a secret that is scheduled for deletion can be described and not used', async () => {
      await harness.scheduleDeletion(arn);
      expect((await store.describe(arn)).deletedAtMs).toEqual(expect.any(Number));
      await expect(store.read(arn, current)).rejects.toMatchObject({ code: 'SECRET_DELETED' });
      await expect(store.readStage(arn, CURRENT)).rejects.toMatchObject({ code: 'SECRET_DELETED' });
      await expect(writePending(current, 'second')).rejects.toMatchObject({ code: 'SECRET_DELETED' });
    });
  });
}
