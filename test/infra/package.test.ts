// Removes the cloud assemblies that a test left in the temporary folder.
import 'aws-cdk-lib/testhelpers/jest-autoclean';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { unzipSync } from 'fflate';
import { DIST } from '../../infra/dist.ts';
import { shapeFrom, writePackage } from '../../infra/package.ts';
import { ROTATED_BY, type Shape } from '../../infra/packaged-stack.ts';
import { PROMISES, type Template } from './promises.ts';
import { example, synthesised } from './synthesised.ts';

const root = mkdtempSync(join(tmpdir(), 'rekey-package-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ALL: Shape = { engines: ['postgres', 'mysql', 'mariadb', 'redis'], clusters: 1, inVpc: false };
const IN_VPC: Shape = { engines: ['postgres', 'redis'], clusters: 2, inVpc: true };

interface Packaged extends Template {
  readonly Parameters: Readonly<Record<string, { readonly Default?: string }>>;
}

function packaged(shape: Shape, name: string) {
  const to = join(root, name);
  const paths = writePackage(shape, to);
  const bytes = new Map(paths.map((path) => [path, readFileSync(join(to, path))]));
  const text = (file: string) => bytes.get(paths.find((path) => basename(path) === file) ?? '')?.toString() ?? '';
  return { paths, bytes, text, template: JSON.parse(text('rekey.template.json')) as Packaged };
}

const all = packaged(ALL, 'all');
const again = packaged(ALL, 'again');
const inVpc = packaged(IN_VPC, 'in-vpc');
const both = [
  ['outside a VPC', all],
  ['in a VPC', inVpc],
] as const;

const functionsOf = ({ Resources }: Template) =>
  Object.values(Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function');

const KEY = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const PARAMETERS = {
  'AWS::Partition': 'aws',
  'AWS::AccountId': '111122223333',
  'AWS::Region': 'eu-west-1',
  Name: 'example',
  Cluster1: 'shop',
  Cluster2: 'shop-two',
  KmsKeyArn: KEY,
  PostgresAdministrator: 'pg-admin',
  MysqlAdministrator: 'my-admin',
  MariadbAdministrator: 'maria-admin',
};

/** The template with its parameters filled in, as CloudFormation would. */
const filledIn = (value: unknown, parameters: Readonly<Record<string, string>>): unknown => {
  if (Array.isArray(value)) return value.map((each) => filledIn(each, parameters));
  if (typeof value !== 'object' || value === null) return value;
  const [[key, inner] = [], ...rest] = Object.entries(value);
  if (key === 'Ref' && typeof inner === 'string' && parameters[inner] !== undefined) return parameters[inner];
  if (key === 'Fn::If' && Array.isArray(inner)) return filledIn(inner[1], parameters);
  if (key === 'Fn::Join' && Array.isArray(inner) && rest.length === 0) {
    const parts = (filledIn(inner[1], parameters) as unknown[]).reduce<unknown[]>((joined, part) => {
      const last = joined.at(-1);
      if (typeof part === 'string' && typeof last === 'string') joined[joined.length - 1] = last + part;
      else joined.push(part);
      return joined;
    }, []);
    return parts.length === 1 ? parts[0] : { 'Fn::Join': [inner[0], parts] };
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, filledIn(each, parameters)]));
};

describe.each(both)('a package %s', (_where, { paths, bytes, text, template }) => {
  test('has each function’s bundle under the key by which the template asks for it', () => {
    for (const { Properties } of functionsOf(template)) {
      expect(JSON.stringify(Properties['Code']['S3Bucket'])).toMatch(/^\{"Fn::Sub":"\$\{ArtefactBucket\}"\}$/);
      const zip = unzipSync(bytes.get(Properties['Code']['S3Key']) ?? new Uint8Array());
      const folder = join(
        DIST,
        JSON.stringify(Properties['FunctionName']).match(/-((?:rotation-)?[a-z]+)"/)?.[1] ?? '',
      );

      expect(Object.keys(zip).sort()).toEqual(readdirSync(folder).sort());
      for (const [file, content] of Object.entries(zip))
        expect(Buffer.from(content).equals(readFileSync(join(folder, file)))).toBe(true);
    }
  });

  test('has the checksum of every other file', () => {
    const sums = [...bytes]
      .filter(([path]) => basename(path) !== 'SHA256SUMS')
      .map(([path, content]) => `${createHash('sha256').update(content).digest('hex')}  ${basename(path)}`);

    expect(text('SHA256SUMS').trimEnd().split('\n').sort()).toEqual(sums.sort());
    expect(new Set(paths.map(dirname)).size).toBe(1);
  });

  test('names no account, no Region and no bucket', () => {
    expect(
      text('rekey.template.json').match(/(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])|[a-z]{2}-[a-z]+-\d\b|cdk-hnb\w*/g),
    ).toBeNull();
  });

  test('asks for nothing that it does not use', () => {
    const used = text('rekey.template.json');
    const unused = Object.keys(template.Parameters).filter(
      (name) => !used.includes(`"Ref": "${name}"`) && !used.includes(`\${${name}}`),
    );

    expect(unused).toEqual([]);
  });

  test('keeps the promises of every deployed stack, but that its one key opens any secret that it rotates', () => {
    const deployed = filledIn(template, PARAMETERS) as Template;
    const broken = Object.values(PROMISES)
      .flat()
      .filter(({ offenders }) => offenders(deployed).length > 0);

    expect(broken.map(({ says }) => says)).toEqual(['a customer key opens the named secrets alone']);
  });
});

test('the same sources make the same bytes', () => {
  expect([...again.bytes].map(([path, content]) => [path, content.equals(all.bytes.get(path) ?? Buffer.of())])).toEqual(
    all.paths.map((path) => [path, true]),
  );
});

test('its rights, filled in, are to the letter those of an environment that says the same', () => {
  const tagged = (engine: string, suffix = '') => ({ key: ROTATED_BY, value: `rekey-${engine}${suffix}` });
  const { network: _outside, ...outside } = example;
  const { template } = synthesised({
    ...outside,
    network: undefined,
    clusters: [{ name: 'shop', region: 'eu-west-1', createAccessEntries: false }],
    rotated: (['postgres', 'mysql', 'mariadb', 'redis'] as const).flatMap((engine) => {
      const name = { postgres: 'pg-admin', mysql: 'my-admin', mariadb: 'maria-admin', redis: '' }[engine];
      const common = { engine, kmsKeyArns: [KEY], ...(name !== '' && { admin: { name } }) };
      return [
        { ...common, strategy: 'auto' as const, tag: tagged(engine) },
        ...(engine === 'redis' ? [] : [{ ...common, strategy: 'user-pair' as const, tag: tagged(engine, '-pair') }]),
      ];
    }),
  } as never);

  const policies = ({ Resources }: Template) =>
    Object.fromEntries(
      Object.entries(Resources).flatMap(([id, { Type, Properties }]) =>
        /Policy$|Role$|Permission$/.test(Type) ? [[id, filledIn(Properties, PARAMETERS)]] : [],
      ),
    );
  // CDK's own names hold the stack's, and a hash of it.
  const unnamed = (found: object) =>
    JSON.parse(
      JSON.stringify(found).replaceAll(/AllowEventRulerekey(?:example)?(Rekey\w*?)[0-9A-F]{8,16}(?=")/g, '$1'),
    );
  expect(unnamed(policies(all.template))).toEqual(unnamed(policies(template.toJSON() as Template)));
});

test('a role’s policy stays under the 10,240 characters that IAM allows, with long names', () => {
  const long = Object.fromEntries(Object.keys(all.template.Parameters).map((name) => [name, 'n'.repeat(40)]));
  const pseudo = { 'AWS::AccountId': '111122223333', 'AWS::Region': 'ap-southeast-1', 'AWS::Partition': 'aws' };
  const lengths = Object.values(all.template.Resources)
    .filter(({ Type }) => Type === 'AWS::IAM::Policy')
    .map(({ Properties }) => JSON.stringify(filledIn(Properties['PolicyDocument'], { ...long, ...pseudo })).length);

  expect(Math.max(...lengths)).toBeLessThan(10_240);
});

describe('terraform/', () => {
  const main = readFileSync('terraform/main.tf', 'utf8');

  test('hands the template the parameters that it has, and no other', () => {
    const indexed = main.match(/"Cluster\$\{index \+ 1\}(SecurityGroup)?"/g) ?? [];
    const named = ['ArtefactBucket', 'Name', 'Email', 'AllowedHosts', 'LogLevel', 'KmsKeyArn'];
    const vpc = ['Vpc', 'Subnet1', 'Subnet2', 'DatabaseSecurityGroup'];

    for (const name of [...named, ...vpc]) expect(main).toMatch(new RegExp(`\\b${name} *=`));
    expect(indexed).toHaveLength(2);
    expect(main).toMatch(/"\$\{title\(engine\)\}Administrator"/);
    expect(Object.keys(inVpc.template.Parameters).sort()).toEqual(
      [
        ...named,
        ...vpc,
        ...['Cluster1', 'Cluster1SecurityGroup', 'Cluster2', 'Cluster2SecurityGroup', 'PostgresAdministrator'],
      ].sort(),
    );
  });

  test('writes nothing about IAM', () => {
    for (const file of readdirSync('terraform').filter((name) => name.endsWith('.tf')))
      expect(readFileSync(join('terraform', file), 'utf8')).not.toMatch(
        /aws_iam|policy|Statement|secretsmanager:|kms:/,
      );
  });
});

describe('a shape', () => {
  test.each([
    ['postgres,oracle', '1', '--engines: "oracle" must be one of postgres, mysql, mariadb, redis'],
    ['postgres', '-1', '--clusters: "-1" must be a whole number from 0 to 20'],
    ['postgres', '1.5', '--clusters: "1.5" must be a whole number from 0 to 20'],
    ['postgres', '', '--clusters: "" must be a whole number from 0 to 20'],
    ['', '0', 'there is nothing to do; name a kind of database or a number of clusters'],
  ])('%j with %j clusters is refused with what would be right', (engines, clusters, message) => {
    expect(() => shapeFrom(engines, clusters, false)).toThrow(message);
  });

  test('may only sync, or only rotate', () => {
    expect(shapeFrom('', '3', false)).toEqual({ engines: [], clusters: 3, inVpc: false });
    expect(shapeFrom('redis,postgres', '0', true)).toEqual({
      engines: ['postgres', 'redis'],
      clusters: 0,
      inVpc: true,
    });
  });
});
