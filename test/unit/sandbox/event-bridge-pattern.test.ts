import { describe, expect, test } from '@jest/globals';
import { matchesPattern, parsePattern } from '../../sandbox/aws/event-bridge/pattern.ts';

const matches = (pattern: object, event: object) => matchesPattern(parsePattern(JSON.stringify(pattern)), event);

/** The event of the User Guide's page on event patterns. */
const EC2 = {
  version: '0',
  id: '6a7e8feb-b491-4cf7-a9f1-bf3703467718',
  'detail-type': 'EC2 Instance State-change Notification',
  source: 'aws.ec2',
  account: '111122223333',
  time: '2017-12-22T18:43:48Z',
  region: 'us-west-1',
  resources: ['arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0'],
  detail: { 'instance-id': 'i-1234567890abcdef0', state: 'terminated' },
};

type Row = readonly [statement: string, pattern: object, event: object, wanted: boolean];

const ROWS: readonly Row[] = [
  // "Creating event patterns", "Matching on arrays"
  ['a value of the event is one of those listed', { source: ['aws.ec2', 'aws.s3'] }, EC2, true],
  ['a value of the event is none of those listed', { source: ['aws.s3'] }, EC2, false],
  ['every field must match', { source: ['aws.ec2'], detail: { state: ['running'] } }, EC2, false],
  ['nested fields match', { detail: { state: ['running', 'terminated'] } }, EC2, true],
  ['a field that the event lacks does not match', { detail: { reason: ['x'] } }, EC2, false],
  ['characters are compared exactly, case included', { source: ['AWS.EC2'] }, EC2, false],
  ['an array of the event matches when it shares a value', { resources: [...EC2.resources, 'arn:other'] }, EC2, true],
  ['an array of the event that shares nothing does not match', { resources: ['arn:other'] }, EC2, false],
  ['an empty array of the event matches nothing', { resources: [{ prefix: '' }] }, { resources: [] }, false],
  ['a list in a list counts as its values', { a: ['x'] }, { a: [['y', 'x']] }, true],
  // event-ruler README, "JSON Array Matching"
  [
    'two fields of one element match',
    { employees: { firstName: ['Anna'], lastName: ['Smith'] } },
    { employees: [{ firstName: 'John', lastName: 'Doe' }, [{ firstName: 'Anna', lastName: 'Smith' }]] },
    true,
  ],
  [
    'two fields of different elements of an array do not match together',
    { employees: { firstName: ['Anna'], lastName: ['Jones'] } },
    {
      employees: [
        { firstName: 'Anna', lastName: 'Smith' },
        { firstName: 'Peter', lastName: 'Jones' },
      ],
    },
    false,
  ],
  // "Null values and empty strings in event patterns"
  [
    'an empty string is matched by an empty string',
    { detail: { eventVersion: [''] } },
    { detail: { eventVersion: '' } },
    true,
  ],
  ['null is matched by null', { detail: { user: [null] } }, { detail: { user: null } }, true],
  ['null is not an empty string', { detail: { user: [''] } }, { detail: { user: null } }, false],
  ['a number is not its text', { n: ['5'] }, { n: 5 }, false],
  ['a boolean matches itself', { ok: [true] }, { ok: true }, true],
  // "Prefix matching", "Suffix matching"
  ['prefix', { time: [{ prefix: '2017-12-22' }] }, EC2, true],
  ['prefix that is elsewhere in the text', { time: [{ prefix: '12-22' }] }, EC2, false],
  ['prefix of a number', { n: [{ prefix: '1' }] }, { n: 12 }, false],
  [
    'prefix, whatever its case',
    { service: [{ prefix: { 'equals-ignore-case': 'EventB' } }] },
    { service: 'eventbridge' },
    true,
  ],
  ['suffix', { FileName: [{ suffix: '.png' }] }, { FileName: 'a.png' }, true],
  ['suffix of another case', { FileName: [{ suffix: '.png' }] }, { FileName: 'a.PNG' }, false],
  [
    'suffix, whatever its case',
    { FileName: [{ suffix: { 'equals-ignore-case': '.png' } }] },
    { FileName: 'a.PNG' },
    true,
  ],
  ['equals-ignore-case', { name: [{ 'equals-ignore-case': 'alice' }] }, { name: 'ALICE' }, true],
  ['equals-ignore-case of another text', { name: [{ 'equals-ignore-case': 'alice' }] }, { name: 'alicia' }, false],
  // "Anything-but matching"
  ['anything-but another text', { detail: { state: [{ 'anything-but': 'initializing' }] } }, EC2, true],
  ['anything-but the same text', { detail: { state: [{ 'anything-but': 'terminated' }] } }, EC2, false],
  ['anything-but a list of texts', { detail: { state: [{ 'anything-but': ['stopped', 'terminated'] }] } }, EC2, false],
  ['anything-but a number', { x: [{ 'anything-but': 123 }] }, { x: 123 }, false],
  ['anything-but a list of numbers', { x: [{ 'anything-but': [100, 200] }] }, { x: 300 }, true],
  ['anything-but of a field that is not there', { x: [{ 'anything-but': 'y' }] }, {}, false],
  ['anything-but a prefix', { Region: [{ 'anything-but': { prefix: 'us-' } }] }, { Region: 'us-east-1' }, false],
  [
    'anything-but a list of prefixes',
    { Region: [{ 'anything-but': { prefix: ['us-', 'eu-'] } }] },
    { Region: 'ap-1' },
    true,
  ],
  ['anything-but a suffix', { f: [{ 'anything-but': { suffix: '.png' } }] }, { f: 'a.txt' }, true],
  [
    'anything-but, whatever the case',
    { s: [{ 'anything-but': { 'equals-ignore-case': ['x', 'Y'] } }] },
    { s: 'y' },
    false,
  ],
  ['anything-but a wildcard', { p: [{ 'anything-but': { wildcard: '*/lib/*' } }] }, { p: 'a/lib/b' }, false],
  // "Numeric matching"
  ['numeric equals, written otherwise', { n: [{ numeric: ['=', 3.018e2] }] }, { n: 301.8 }, true],
  ['numeric range with its open end', { n: [{ numeric: ['>', 0, '<=', 5] }] }, { n: 0 }, false],
  ['numeric range with its closed end', { n: [{ numeric: ['>', 0, '<=', 5] }] }, { n: 5 }, true],
  ['numeric with one bound', { n: [{ numeric: ['<', 10] }] }, { n: 10 }, false],
  ['numeric of a text', { n: [{ numeric: ['<', 10] }] }, { n: '5' }, false],
  // "IP address matching"
  ['cidr', { ip: [{ cidr: '10.0.0.0/24' }] }, { ip: '10.0.0.255' }, true],
  ['cidr of another network', { ip: [{ cidr: '10.0.0.0/24' }] }, { ip: '10.0.1.0' }, false],
  ['cidr of IPv6', { ip: [{ cidr: '2001:db8::/32' }] }, { ip: '2001:db8:1::1' }, true],
  ['cidr of what is no address', { ip: [{ cidr: '10.0.0.0/8' }] }, { ip: 'ten' }, false],
  // "Exists matching"
  ['exists', { detail: { state: [{ exists: true }] } }, EC2, true],
  ['exists, of null', { a: [{ exists: true }] }, { a: null }, true],
  ['exists works on leaves only', { detail: [{ exists: true }] }, EC2, false],
  ['exists false of a field that is not there', { detail: { reason: [{ exists: false }] } }, EC2, true],
  ['exists false of a field that is there', { detail: { state: [{ exists: false }] } }, EC2, false],
  ['exists false below a node that is not there', { other: { field: [{ exists: false }] } }, EC2, true],
  ['exists false or a value', { detail: { state: ['x', { exists: false }] } }, { detail: {} }, true],
  // "Wildcard matching"
  ['wildcard', { p: [{ wildcard: 'dir/*.png' }] }, { p: 'dir/sub/a.png' }, true],
  ['wildcard that must reach the end', { p: [{ wildcard: 'dir/*.png' }] }, { p: 'dir/a.png.txt' }, false],
  ['wildcard for nothing', { p: [{ wildcard: 'a*b' }] }, { p: 'ab' }, true],
  ['wildcard with an escaped asterisk', { p: [{ wildcard: 'a\\*b' }] }, { p: 'axb' }, false],
  ['wildcard with an escaped asterisk, found', { p: [{ wildcard: 'a\\*b*' }] }, { p: 'a*bc' }, true],
  ['wildcard with characters that regular expressions know', { p: [{ wildcard: '*.(x)' }] }, { p: 'a.(x)' }, true],
  // "Complex example", "$or"
  ['$or with one side true', { $or: [{ source: ['x'] }, { detail: { state: ['terminated'] } }] }, EC2, true],
  ['$or with no side true', { $or: [{ source: ['x'] }, { region: ['x'] }] }, EC2, false],
  [
    '$or beside a field that does not match',
    { account: ['x'], $or: [{ source: ['aws.ec2'] }, { region: ['x'] }] },
    EC2,
    false,
  ],
  ['$or nested', { detail: { $or: [{ state: ['terminated'] }, { state: ['x'] }] } }, EC2, true],
  // Rekey's own rule
  [
    'the label AWSCURRENT moved',
    {
      source: ['aws.secretsmanager'],
      'detail-type': ['Secret Label Updated'],
      detail: { labelUpdated: ['AWSCURRENT'] },
    },
    { source: 'aws.secretsmanager', 'detail-type': 'Secret Label Updated', detail: { labelUpdated: 'AWSCURRENT' } },
    true,
  ],
];

describe('an event pattern', () => {
  for (const [statement, pattern, event, wanted] of ROWS)
    test(`${wanted ? 'matches' : 'does not match'}: ${statement}`, () => {
      expect(matches(pattern, event)).toBe(wanted);
    });
});

describe('a malformed event pattern is refused:', () => {
  test.each([
    ['text that is not JSON', '{'],
    ['an array', '[]'],
    ['an object without fields', '{}'],
    ['a value outside an array', '{"source":"aws.ec2"}'],
    ['an empty array', '{"source":[]}'],
    ['an array in an array', '{"source":[["x"]]}'],
    ['an unknown match type', '{"source":[{"like":"x"}]}'],
    ['two match types in one object', '{"source":[{"prefix":"x","suffix":"y"}]}'],
    ['prefix of a number', '{"source":[{"prefix":1}]}'],
    ['exists of a text', '{"source":[{"exists":"true"}]}'],
    ['numeric with an unknown operator', '{"n":[{"numeric":["~",1]}]}'],
    ['numeric beyond five billion', '{"n":[{"numeric":["<",6000000000]}]}'],
    ['a range from above to below', '{"n":[{"numeric":["<",5,">",0]}]}'],
    ['a range without room', '{"n":[{"numeric":[">",5,"<",5]}]}'],
    ['cidr without a length', '{"ip":[{"cidr":"10.0.0.0"}]}'],
    ['anything-but with texts and numbers mixed', '{"x":[{"anything-but":["a",1]}]}'],
    ['anything-but numeric', '{"x":[{"anything-but":{"numeric":["<",1]}}]}'],
    ['two wildcards in a row', '{"p":[{"wildcard":"a**"}]}'],
    ['a backslash before another character', '{"p":[{"wildcard":"a\\\\n"}]}'],
  ])('%s', (_what, pattern) => {
    expect(() => parsePattern(pattern)).toThrow(
      expect.objectContaining({ code: 'InvalidEventPatternException', status: 400 }),
    );
  });
});
