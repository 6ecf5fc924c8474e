import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { applyJsonPatch, PatchFailed } from '../../sandbox/kubernetes/patch/json-patch.ts';
import { applyMergePatch } from '../../sandbox/kubernetes/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '../../sandbox/kubernetes/patch/strategic-merge-patch.ts';

describe('a JSON patch (RFC 6902)', () => {
  test.each([
    ['adds a member', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
    ['inserts into an array', [1, 3], [{ op: 'add', path: '/1', value: 2 }], [1, 2, 3]],
    ['appends to an array', [1], [{ op: 'add', path: '/-', value: 2 }], [1, 2]],
    ['replaces the whole document', { a: 1 }, [{ op: 'replace', path: '', value: [] }], []],
    ['removes from an array', [1, 2, 3], [{ op: 'remove', path: '/1' }], [1, 3]],
    ['moves', { a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
    ['copies', { a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
    [
      'reads escaped names',
      { 'a/b': { 'm~n': 1 } },
      [{ op: 'replace', path: '/a~1b/m~0n', value: 2 }],
      { 'a/b': { 'm~n': 2 } },
    ],
    [
      'tests without regard to the order of members',
      { a: { b: 1, c: 2 } },
      [{ op: 'test', path: '/a', value: { c: 2, b: 1 } }],
      { a: { b: 1, c: 2 } },
    ],
  ])('%s', (_what, document, operations, expected) => {
    expect(applyJsonPatch(document, operations)).toEqual(expected);
  });

  test.each([
    ['a test that fails', { a: 1 }, [{ op: 'test', path: '/a', value: 2 }]],
    ['a path that leads nowhere', { a: 1 }, [{ op: 'replace', path: '/b/c', value: 2 }]],
    ['the removal of nothing', { a: 1 }, [{ op: 'remove', path: '/b' }]],
    ['an index beyond the end', [1], [{ op: 'add', path: '/2', value: 2 }]],
    ['an index with a leading zero', [1, 2], [{ op: 'remove', path: '/01' }]],
    ['a path without a slash', { a: 1 }, [{ op: 'add', path: 'a', value: 2 }]],
    ['an unknown operation', { a: 1 }, [{ op: 'rename', path: '/a' }]],
    ['a member that every object has', {}, [{ op: 'test', path: '/constructor', value: 1 }]],
  ])('refuses %s', (_what, document, operations) => {
    expect(() => applyJsonPatch(document, operations)).toThrow(PatchFailed);
  });

  test('leaves the document that it was given alone', () => {
    const document = { a: [1] };

    applyJsonPatch(document, [{ op: 'add', path: '/a/-', value: 2 }]);

    expect(document).toEqual({ a: [1] });
  });
});

describe('a merge patch (RFC 7386, appendix A)', () => {
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j is %j', (target, patch, expected) => {
    expect(applyMergePatch(target, patch)).toEqual(expected);
  });

  test('applied a second time changes nothing', () => {
    fc.assert(
      fc.property(fc.object({ withNullPrototype: false }), fc.object(), (target, patch) => {
        const once = applyMergePatch(target, patch);
        expect(applyMergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});

describe('a strategic merge patch', () => {
  const containers = [
    { name: 'a', image: '1', env: [{ name: 'X', value: '1' }], ports: [{ containerPort: 80 }] },
    { name: 'b', image: '2' },
  ];

  test.each([
    [
      'merges entries by their key',
      { containers: [{ name: 'b', image: '3' }] },
      [containers[0], { name: 'b', image: '3' }],
    ],
    ['adds entries with a new key', { containers: [{ name: 'c' }] }, [...containers, { name: 'c' }]],
    ['deletes an entry', { containers: [{ name: 'a', $patch: 'delete' }] }, [containers[1]]],
    ['replaces a list', { containers: [{ $patch: 'replace' }, { name: 'z' }] }, [{ name: 'z' }]],
    ['replaces a list by nothing', { containers: [{ $patch: 'replace' }] }, []],
    [
      'sorts by an order alone',
      { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] },
      [containers[1], containers[0]],
    ],
    [
      'merges lists inside of entries',
      { containers: [{ name: 'a', env: [{ name: 'Y', value: '2' }], ports: [{ containerPort: 80, name: 'web' }] }] },
      [
        {
          ...containers[0],
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '2' },
          ],
          ports: [{ containerPort: 80, name: 'web' }],
        },
        containers[1],
      ],
    ],
  ])('%s', (_what, patch, expected) => {
    expect(applyStrategicMergePatch({ containers }, patch)).toEqual({ containers: expected });
  });

  test('keeps entries that an order does not name behind those that they followed', () => {
    const env = ['A', 'B', 'C', 'D'].map((name) => ({ name }));

    const patched = applyStrategicMergePatch(
      { env },
      { '$setElementOrder/env': [{ name: 'D' }, { name: 'A' }], env: [{ name: 'D', value: '1' }] },
    );

    expect(patched).toEqual({ env: [{ name: 'D', value: '1' }, { name: 'A' }, { name: 'B' }, { name: 'C' }] });
  });

  test('replaces lists that have no key', () => {
    expect(applyStrategicMergePatch({ args: ['a', 'b'] }, { args: ['c'] })).toEqual({ args: ['c'] });
  });

  test('joins sets, and takes away what a directive names', () => {
    const target = { finalizers: ['a', 'b'] };

    expect(applyStrategicMergePatch(target, { finalizers: ['b', 'c'] })).toEqual({ finalizers: ['a', 'b', 'c'] });
    expect(applyStrategicMergePatch(target, { '$deleteFromPrimitiveList/finalizers': ['a'] })).toEqual({
      finalizers: ['b'],
    });
  });

  test('retains only the named keys, replaces and deletes maps', () => {
    const target = { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } }, labels: { a: '1' } };

    expect(applyStrategicMergePatch(target, { strategy: { $retainKeys: ['type'], type: 'Recreate' } })).toEqual({
      strategy: { type: 'Recreate' },
      labels: { a: '1' },
    });
    expect(applyStrategicMergePatch(target, { labels: { $patch: 'replace', b: '2' } })).toMatchObject({
      labels: { b: '2' },
    });
    expect(applyStrategicMergePatch(target, { strategy: { $patch: 'delete' } })).toEqual({ labels: { a: '1' } });
  });

  test('keys the ports of a Service by their own number', () => {
    const target = { spec: { ports: [{ port: 80, targetPort: 1 }] } };

    expect(applyStrategicMergePatch(target, { spec: { ports: [{ port: 80, targetPort: 2 }] } })).toEqual({
      spec: { ports: [{ port: 80, targetPort: 2 }] },
    });
  });

  test.each([
    ['an entry without its key', { containers: [{ image: '1' }] }],
    ['an entry that is no object', { containers: ['a'] }],
    ['an unknown directive', { labels: { $patch: 'rename' } }],
  ])('refuses %s', (_what, patch) => {
    expect(() => applyStrategicMergePatch({ containers, labels: {} }, patch)).toThrow(PatchFailed);
  });

  test('keeps no directive in what it makes', () => {
    const made = applyStrategicMergePatch(
      {},
      {
        containers: [{ name: 'a', $patch: 'merge', '$setElementOrder/env': [{ name: 'X' }], env: [{ name: 'X' }] }],
        strategy: { $retainKeys: ['type'], type: 'Recreate' },
      },
    );

    expect(JSON.stringify(made)).not.toContain('$');
  });
});
