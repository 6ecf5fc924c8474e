import { describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { MountFailed, provideFiles, type ReadSecret } from '../../sandbox/kubernetes/node/aws-provider.ts';
import type { SecretProviderClass } from '../../sandbox/kubernetes/objects.ts';

const VALUE = '{"username":"u","nested":{"host-name":"db"},"port":5432}';
const ARN = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/db-AbCdEf';

/** Answers with the version asked for, and keeps what was asked. */
function secrets(): { readSecret: ReadSecret; asked: object[] } {
  const asked: object[] = [];
  return {
    asked,
    readSecret: async (request) => {
      asked.push(request);
      return { versionId: request.versionId ?? request.versionStage ?? 'current', value: VALUE };
    },
  };
}

function classOf(objects: unknown, parameters: Record<string, string> = {}): SecretProviderClass {
  return {
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name: 'a', uid: '', resourceVersion: '', creationTimestamp: '' },
    spec: { provider: 'aws', parameters: { objects: stringify(objects), ...parameters } },
  };
}

const names = async (objects: unknown, parameters = {}) =>
  (await provideFiles(classOf(objects, parameters), secrets().readSecret)).map((file) => file.id);

describe('the AWS provider', () => {
  test('provides the whole secret in a file of its name', async () => {
    const files = await provideFiles(
      classOf([{ objectName: 'MySecret', objectType: 'secretsmanager' }]),
      secrets().readSecret,
    );

    expect(files).toEqual([{ id: 'MySecret', version: 'current', path: 'MySecret', contents: VALUE }]);
  });

  test('takes an ARN without a type', async () => {
    const { readSecret, asked } = secrets();

    const [file] = await provideFiles(classOf([{ objectName: ARN }]), readSecret);

    expect(asked).toEqual([{ secretId: ARN }]);
    expect(file?.id).toBe(ARN.replaceAll('/', '_'));
  });

  test('names the file by the alias, with slashes replaced as the class says', async () => {
    const object = { objectName: 'shop/db', objectType: 'secretsmanager' };

    expect(await names([object])).toEqual(['shop_db']);
    expect(await names([{ ...object, objectAlias: 'db.json' }])).toEqual(['db.json']);
    expect(await names([object], { pathTranslation: '-' })).toEqual(['shop-db']);
    expect(await names([{ ...object, objectName: '/shop/db' }], { pathTranslation: 'False' })).toEqual(['shop/db']);
  });

  test('asks for the version or the label that the class pins', async () => {
    const { readSecret, asked } = secrets();
    const object = { objectName: 'a', objectType: 'secretsmanager' };

    const files = await provideFiles(
      classOf([
        { ...object, objectAlias: 'x', objectVersion: 'v7' },
        { ...object, objectAlias: 'y', objectVersionLabel: 'AWSPREVIOUS' },
      ]),
      readSecret,
    );

    expect(asked).toEqual([
      { secretId: 'a', versionId: 'v7' },
      { secretId: 'a', versionStage: 'AWSPREVIOUS' },
    ]);
    expect(files.map((file) => file.version)).toEqual(['v7', 'AWSPREVIOUS']);
  });

  test('provides a file for each path, next to the whole, all of one version', async () => {
    const jmesPath = [
      { path: 'username', objectAlias: 'user' },
      { path: 'nested."host-name"', objectAlias: 'host' },
    ];

    const files = await provideFiles(
      classOf([{ objectName: 'a', objectType: 'secretsmanager', jmesPath }]),
      secrets().readSecret,
    );

    expect(files.map(({ id, contents }) => [id, contents])).toEqual([
      ['a', VALUE],
      ['user', 'u'],
      ['host', 'db'],
    ]);
    expect(new Set(files.map((file) => file.version))).toEqual(new Set(['current']));
  });

  test.each([
    ['no objects', [], /missing or empty/],
    ['an object without a name', [{ objectType: 'secretsmanager' }], /name must be specified/],
    ['a name without a type', [{ objectName: 'a' }], /Must use objectType/],
    ['another type', [{ objectName: 'a', objectType: 'ssmparameter' }], /Invalid objectType/],
    [
      'one file name twice',
      [
        { objectName: 'a', objectType: 'secretsmanager' },
        { objectName: 'b', objectType: 'secretsmanager', objectAlias: 'a' },
      ],
      /already in use/,
    ],
    ['a path that leads nowhere', withPath('none'), /does not point to a valid object/],
    ['a path to a number', withPath('port'), /Only string is allowed/],
  ])('refuses %s', async (_what, objects, message) => {
    const mounting = provideFiles(classOf(objects), secrets().readSecret);

    await expect(mounting).rejects.toThrow(MountFailed);
    await expect(mounting).rejects.toThrow(message);
  });

  test('says which secret it could not read, and nothing that the store said', async () => {
    const readSecret = async () => {
      throw Object.assign(new Error('hunter2 is not allowed'), { name: 'AccessDeniedException' });
    };

    const mounting = provideFiles(classOf([{ objectName: 'a', objectType: 'secretsmanager' }]), readSecret);

    await expect(mounting).rejects.toThrow('failed to fetch secret a: AccessDeniedException');
    await expect(mounting).rejects.not.toThrow('hunter2');
  });
});

function withPath(path: string): object[] {
  return [{ objectName: 'a', objectType: 'secretsmanager', jmesPath: [{ path, objectAlias: 'x' }] }];
}
