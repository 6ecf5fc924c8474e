import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { DEFAULT_OPTIONS, parseTags, type SecretOptions } from '../../../../shared/secrets/tags.ts';

const parse = (tags: Record<string, string>) => parseTags(new Map(Object.entries(tags)));

describe('the tags of a secret', () => {
  test('a secret without tags gets the defaults', () => {
    expect(parse({})).toEqual({
      strategy: 'auto',
      accept: new Set(),
      adminFor: undefined,
      ca: undefined,
      databaseHost: undefined,
      readers: [],
      serverName: undefined,
      retire: undefined,
      retireAfterMs: 300_000,
      maxParallel: 5,
      window: undefined,
      convergeWithinMs: 1_800_000,
      holdUntilMs: undefined,
      onFailure: 'halt',
      passwordLength: 32,
      excludeCharacters: '',
    });
  });

  test("other people's tags are left alone", () => {
    expect(parse({ team: 'payments', 'aws:cloudformation:stack-name': 'x', 'Rekey:strategy': '?' })).toEqual(
      DEFAULT_OPTIONS,
    );
  });

  test.each<[string, string, Partial<SecretOptions>]>([
    ['strategy', 'single-user', { strategy: 'single-user' }],
    ['strategy', 'alternating-users', { strategy: 'alternating-users' }],
    ['retire', 'converged', { retire: 'converged' }],
    ['retire', 'next-rotation', { retire: 'next-rotation' }],
    ['retire-after', '0s', { retireAfterMs: 0 }],
    ['retire-after', '90s', { retireAfterMs: 90_000 }],
    ['retire-after', '30d', { retireAfterMs: 2_592_000_000 }],
    ['max-parallel', '1', { maxParallel: 1 }],
    ['converge-within', '2h', { convergeWithinMs: 7_200_000 }],
    ['on-failure', 'halt', {}],
    ['on-failure', 'move-back', { onFailure: 'move-back' }],
    ['hold', '2027-01-31', { holdUntilMs: Date.UTC(2027, 0, 31) }],
    ['hold', '2027-01-31T18:30Z', { holdUntilMs: Date.UTC(2027, 0, 31, 18, 30) }],
    ['password-length', '64', { passwordLength: 64 }],
    ['exclude-characters', '+-=', { excludeCharacters: '+-=' }],
    ['window', '02:00-04:30', { window: { days: new Set([0, 1, 2, 3, 4, 5, 6]), fromMinute: 120, toMinute: 270 } }],
    ['window', 'mon-wed 22:00-04:00', { window: { days: new Set([1, 2, 3]), fromMinute: 1320, toMinute: 240 } }],
    ['window', 'Sat Sun 22:00-00:00', { window: { days: new Set([6, 0]), fromMinute: 1320, toMinute: 1440 } }],
    ['window', 'fri-mon 00:00-24:00', { window: { days: new Set([5, 6, 0, 1]), fromMinute: 0, toMinute: 1440 } }],
  ])('rekey:%s = "%s" is understood', (tag, value, expected) => {
    expect(parse({ [`rekey:${tag}`]: value })).toEqual({ ...DEFAULT_OPTIONS, ...expected });
  });

  test.each([
    ['strategy', 'Alternating-Users'],
    ['strategy', 'three-passwords'],
    ['retire', 'yes'],
    ['retire-after', '5'],
    ['retire-after', '-5m'],
    ['retire-after', '31d'],
    ['retire-after', '1.5h'],
    ['max-parallel', '0'],
    ['max-parallel', '1001'],
    ['max-parallel', '1e2'],
    ['converge-within', '0s'],
    ['on-failure', 'moveback'],
    ['hold', 'true'],
    ['hold', '2027-02-30'],
    ['hold', '2027-13-01'],
    ['hold', '2027-01-31T24:00Z'],
    ['hold', '2027-01-31T18:00'],
    ['window', 'mon-fri'],
    ['window', 'mo 02:00-04:00'],
    ['window', 'mon-tue-wed 02:00-04:00'],
    ['window', '24:00-25:00'],
    ['window', '02:60-04:00'],
    ['window', '02:00-02:00'],
    ['password-length', '8'],
    ['password-length', '129'],
    ['exclude-characters', ''],
    ['exclude-characters', '0123456789'],
    ['exclude-characters', 'é'],
    ['holds', '2027-01-31'],
    ['__proto__', 'x'],
    ['', 'x'],
  ])('rekey:%s = "%s" is refused by name', (tag, value) => {
    const refusal = refusalOf({ [`rekey:${tag}`]: value });
    expect(refusal).toMatchObject({ code: 'TAG_INVALID', retryable: false });
    expect(refusal.message).toContain(`"rekey:${tag}"`);
  });

  test('all wrong tags are named at once', () => {
    const { message } = refusalOf({ 'rekey:hold': 'soon', 'rekey:retire': 'never', 'rekey:strategy': 'auto' });
    expect(message).toContain('rekey:hold');
    expect(message).toContain('rekey:retire"');
    expect(message).not.toContain('"rekey:strategy"');
  });

  test('96: any tags are either understood or refused as TAG_INVALID', () => {
    const name = fc.oneof(
      fc.string(),
      fc.constantFrom('strategy', 'retire', 'retire-after', 'window', 'hold', 'max-parallel', 'exclude-characters'),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), (tags) => {
        try {
          expect(parseTags(new Map(tags.map(([tag, value]) => [`rekey:${tag}`, value])))).toBeDefined();
        } catch (error) {
          expect(error).toMatchObject({ code: 'TAG_INVALID' });
        }
      }),
    );
  });
});

function refusalOf(tags: Record<string, string>): RekeyError {
  try {
    parse(tags);
  } catch (error) {
    if (error instanceof RekeyError) return error;
  }
  throw new Error('the tags were not refused');
}

describe('the tags for estates that are not plain', () => {
  test('risks that are taken on are words, separated by blanks', () => {
    expect([...parse({ 'rekey:accept': 'plaintext  take-over' }).accept]).toEqual(['plaintext', 'take-over']);
  });

  test('a host to work at may carry a port', () => {
    expect(parse({ 'rekey:database-host': 'db.example:5433' }).databaseHost).toEqual({
      host: 'db.example',
      port: 5433,
    });
    expect(parse({ 'rekey:database-host': 'db.example' }).databaseHost).toMatchObject({ host: 'db.example' });
  });

  test('readers are several hosts', () => {
    expect(parse({ 'rekey:readers': 'a.example b.example:5433' }).readers).toMatchObject([
      { host: 'a.example' },
      { host: 'b.example', port: 5433 },
    ]);
  });

  test('an administrator is for the secrets and folders that it names', () => {
    expect(parse({ 'rekey:admin-for': 'app/db orders/' }).adminFor).toEqual(['app/db', 'orders/']);
  });

  test.each([
    ['rekey:accept', 'everything'],
    ['rekey:database-host', 'db.example:http'],
    ['rekey:readers', 'a.example:70000'],
    ['rekey:admin-for', 'app/*'],
  ])('%s = "%s" is refused by name', (tag, value) => {
    expect(refusalOf({ [tag]: value }).message).toContain(`"${tag}"`);
  });
});
