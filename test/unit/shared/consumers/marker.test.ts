import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { markerOf } from '../../../../shared/consumers/marker.ts';

const VERSION = '00000002-0000-4000-8000-000000000000';

function annotationOf(name: string, suffix = 'AbCdEf'): string {
  const arn = `arn:aws:secretsmanager:eu-west-1:111122223333:secret:${name}-${suffix}`;
  return markerOf({ arn, name }, VERSION).annotation;
}

test.each([
  ['MySecret', 'rekey.dev/MySecret-AbCdEf'],
  ['app/db', 'rekey.dev/app-db-AbCdEf'],
  ['app/db-2', 'rekey.dev/app-db-2-AbCdEf'],
  ['/prod/db', 'rekey.dev/prod-db-AbCdEf'],
  ['a+b=c.d@e_f', 'rekey.dev/a-b-c.d-e_f-AbCdEf'],
  ['...', 'rekey.dev/secret-AbCdEf'],
  ['-x', 'rekey.dev/x-AbCdEf'],
  ['app/db-XyZ123', 'rekey.dev/app-db-XyZ123-AbCdEf'],
  ['x'.repeat(200), `rekey.dev/${'x'.repeat(56)}-AbCdEf`],
])('89: the marker of %s is %s', (name, annotation) => {
  expect(annotationOf(name)).toBe(annotation);
});

test('89: secrets whose safe names are the same have different markers', () => {
  expect(annotationOf('app/db', 'AAAAAA')).not.toBe(annotationOf('app-db', 'BBBBBB'));
});

test('the value is the versionId alone', () => {
  const arn = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf';
  expect(markerOf({ arn, name: 'db' }, VERSION).versionId).toBe(VERSION);
});

test('every secret name makes a key that Kubernetes takes', () => {
  const characters = [...'abcxyzABCXYZ0189/_+=.@-'];
  const names = fc.array(fc.constantFrom(...characters), { minLength: 1, maxLength: 512 }).map((all) => all.join(''));
  fc.assert(
    fc.property(names, (name) => {
      const key = annotationOf(name).replace('rekey.dev/', '');
      expect(key).toMatch(/^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$/);
      expect(key.length).toBeLessThanOrEqual(63);
    }),
  );
});
