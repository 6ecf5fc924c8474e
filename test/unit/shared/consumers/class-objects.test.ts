import { describe, expect, test } from '@jest/globals';
import { objectsOf, type Use, useOf } from '../../../../shared/consumers/class-objects.ts';
import { SECRET, spcOf } from './observations.ts';

const REGION = 'eu-west-1';
const { arn: ARN } = SECRET;
const follows = (...ids: string[]): Use => ({ kind: 'follows', ids });

function usesIn(objects: unknown, parameters: Record<string, string> = {}, secret = SECRET, region = REGION) {
  const parsed = objectsOf(spcOf(objects, {}, parameters), region);
  if (parsed.kind === 'malformed') throw new Error(parsed.why);
  return parsed.objects.flatMap((object) => useOf(object, secret) ?? []);
}

test('a class is parsed once, however many secrets it is compared with', () => {
  const spc = spcOf([{ objectName: 'shop/database' }]);
  expect(objectsOf(spc, REGION)).toBe(objectsOf(spc, REGION));
  expect(objectsOf(spc, 'us-east-1')).toMatchObject({ objects: [{ region: 'us-east-1' }] });
});

describe('a class uses a secret', () => {
  test.each<[string, object, Use]>([
    ['by name', { objectName: 'shop/database', objectType: 'secretsmanager' }, follows('shop_database')],
    ['by whole ARN', { objectName: ARN }, follows(ARN.replace('/', '_'))],
    ['by ARN without suffix', { objectName: ARN.slice(0, -7) }, follows(ARN.slice(0, -7).replace('/', '_'))],
    ['under an alias', { objectName: 'shop/database', objectAlias: 'db.json' }, follows('db.json')],
    [
      'by jmesPath: one file per entry, and the whole',
      {
        objectName: 'shop/database',
        jmesPath: [
          { path: 'username', objectAlias: 'db/user' },
          { path: 'password', objectAlias: 'pass' },
        ],
      },
      follows('shop_database', 'db_user', 'pass'),
    ],
    [
      'with the label AWSCURRENT, which is no pin',
      { objectName: 'shop/database', objectVersionLabel: 'AWSCURRENT' },
      follows('shop_database'),
    ],
    [
      'pinned to a version',
      { objectName: 'shop/database', objectVersion: 'v-1' },
      { kind: 'pinned', to: 'version v-1' },
    ],
    [
      'pinned to a label',
      { objectName: 'shop/database', objectVersionLabel: 'AWSPREVIOUS' },
      { kind: 'pinned', to: 'label AWSPREVIOUS' },
    ],
    ['with keys in another case, as Go reads them', { ObjectName: 'shop/database', OBJECTALIAS: 'x' }, follows('x')],
  ])('90: %s', (_name, object, use) => {
    expect(usesIn([object])).toEqual([use]);
  });

  test('several times, under several aliases', () => {
    expect(
      usesIn([
        { objectName: 'shop/database', objectAlias: 'a' },
        { objectName: 'other' },
        { objectName: 'shop/database', objectAlias: 'b', objectVersionLabel: 'AWSPREVIOUS' },
      ]),
    ).toEqual([follows('a'), { kind: 'pinned', to: 'label AWSPREVIOUS' }]);
  });

  test.each<[string, object, Record<string, string>]>([
    ['another secret', { objectName: 'shop/databas' }, {}],
    ['one whose name begins with it', { objectName: 'shop/database-2' }, {}],
    ['one whose name ends like a suffix', { objectName: 'shop/database-AbCdEf' }, {}],
    ['a parameter of the same name', { objectName: 'shop/database', objectType: 'ssmparameter' }, {}],
    ['a parameter by ARN', { objectName: 'arn:aws:ssm:eu-west-1:111122223333:parameter/shop/database' }, {}],
    ['the ARN of another Region', { objectName: ARN.replace('eu-west-1', 'eu-central-1') }, {}],
    ['the ARN of another account', { objectName: ARN.replace('111122223333', '444455556666') }, {}],
    ['the ARN of its predecessor of the same name', { objectName: ARN.replace('AbCdEf', 'ZzZzZz') }, {}],
    ['the name in another Region', { objectName: 'shop/database' }, { region: 'eu-central-1' }],
  ])('89: not %s', (_name, object, parameters) => {
    expect(usesIn([object], parameters)).toEqual([]);
  });

  test('89: a name is looked up in the Region of the cluster when the class names none', () => {
    expect(usesIn([{ objectName: 'shop/database' }], {}, SECRET, 'eu-central-1')).toEqual([]);
    expect(usesIn([{ objectName: 'shop/database' }], { region: REGION }, SECRET, 'eu-central-1')).toHaveLength(1);
  });

  test('not in a class of another provider', () => {
    expect(objectsOf(spcOf([{ objectName: 'shop/database' }], { provider: 'vault' }), REGION)).toEqual({
      kind: 'objects',
      objects: [],
    });
  });

  test.each([
    ['', 'a_b'],
    ['-', 'a-b'],
    ['False', 'a/b'],
    ['false', 'a/b'],
  ])('pathTranslation "%s" names the file %s', (pathTranslation, file) => {
    expect(usesIn([{ objectName: 'shop/database', objectAlias: 'a/b' }], { pathTranslation })).toEqual([follows(file)]);
  });

  test('pathTranslation False takes the slash at the start away', () => {
    expect(usesIn([{ objectName: 'shop/database', objectAlias: '/a/b' }], { pathTranslation: 'False' })).toEqual([
      follows('a/b'),
    ]);
  });
});

describe('with a failover Region', () => {
  const parameters = { failoverRegion: 'eu-central-1' };

  test('and the same secret there, the recorded version is that of the replica, which is the same', () => {
    expect(usesIn([{ objectName: 'shop/database', objectAlias: 'db' }], parameters)).toEqual([follows('db')]);
    const replica = { objectName: ARN.replace('eu-west-1', 'eu-central-1') };
    expect(usesIn([{ objectName: ARN, objectAlias: 'db', failoverObject: replica }], parameters)).toEqual([
      follows('db'),
    ]);
  });

  test('and another secret there, the recorded version proves nothing', () => {
    const object = { objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } };
    expect(usesIn([object], parameters)).toEqual([{ kind: 'unrecorded' }]);
  });

  test('the secret that stands by is a use too, in its own Region', () => {
    const object = { objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } };
    const spare = {
      arn: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/spare-QwErTy',
      name: 'shop/spare',
    };
    expect(usesIn([object], parameters, spare)).toEqual([follows('db')]);
  });
});

describe('objects are read as the provider reads them:', () => {
  test.each([
    ['of two equal keys the last one counts', '- objectName: other\n  objectName: shop/database'],
    [
      'null, ~ and nothing are no alias, version or label',
      '- objectName: shop/database\n  objectAlias: null\n  objectVersion: ~\n  objectVersionLabel:',
    ],
    ['the first document counts alone', '---\n- objectName: shop/database\n---\n- objectName: [unread'],
    [
      'what a merge key brings counts, and what is beside it comes first',
      '- &all { objectName: other, objectVersion: v-1 }\n- { <<: *all, objectName: shop/database, objectVersion: "" }',
    ],
  ])('%s', (_what, objects) => {
    expect(usesIn(objects)).toEqual([follows('shop_database')]);
  });

  test('a version that a merge key brings pins', () => {
    const objects = '- &all { objectName: other, objectVersion: v-1 }\n- { <<: *all, objectName: shop/database }';
    expect(usesIn(objects)).toEqual([{ kind: 'pinned', to: 'version v-1' }]);
  });

  test.each(['null', '~'])('a text that is quoted is a text: "%s"', (text) => {
    expect(usesIn(`- { objectName: shop/database, objectAlias: "${text}" }`)).toEqual([follows(text)]);
  });
});

describe('a class that cannot be read is reported, and quoted to nobody', () => {
  test.each([
    ['no YAML', '- objectName: "hunter2', /not valid YAML \(line \d\)/],
    ['a map', 'objectName: hunter2', /not a list/],
    ['a text', 'hunter2', /not a list/],
    ['nothing', '', /not a list/],
    ['a list of texts', '- hunter2', /not a map/],
    ['no objectName', '- objectAlias: hunter2', /no objectName/],
    ['a list as objectName', '- objectName: [hunter2]', /no objectName/],
  ])('%s', (_name, objects, why) => {
    const parsed = objectsOf(spcOf(objects), REGION);

    expect(parsed).toEqual({ kind: 'malformed', why: expect.stringMatching(why) });
    expect(JSON.stringify(parsed)).not.toContain('hunter2');
  });

  test.each([
    ['aliases', 'jmesPath: &a0 [x]', (level: number, tenTimes: string) => `jmesPath: &a${level} [${tenTimes}]`],
    ['merge keys', 'more: &a0 { x: x }', (level: number, tenTimes: string) => `more: &a${level} { <<: [${tenTimes}] }`],
  ])('a bomb of %s', (_name, first, member) => {
    const levels = Array.from(
      { length: 20 },
      (_, level) => `- { objectName: x, ${member(level + 1, Array(10).fill(`*a${level}`).join())} }`,
    );

    // Expanded, it would be 10^20 entries: this would never end.
    const parsed = objectsOf(spcOf(`- { objectName: x, ${first} }\n${levels.join('\n')}`), REGION);

    expect(parsed).toEqual({ kind: 'malformed', why: expect.stringContaining('not valid YAML') });
  });

  test('a few aliases are honest', () => {
    expect(
      usesIn('- &a { objectName: "shop/database", objectAlias: x }\n- { objectName: other, jmesPath: [*a] }'),
    ).toEqual([follows('x')]);
  });
});
