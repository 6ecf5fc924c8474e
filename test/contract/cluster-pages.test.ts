import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createAuthority } from '../sandbox/certificates.ts';

/**
 * The next page is asked for before this one is parsed, by what its text leads to expect. Whatever the text looks like,
 * the list has to be the one that the parsed pages make up.
 */

interface Item {
  readonly name: string;
  /** What it holds that looks like the way to a next page. */
  readonly astray: 'nothing' | 'text' | 'field';
}
/** How a server writes a page. */
type Layout = 'typed' | 'custom resource' | 'indented' | 'escaped';

let server: Server;
let cluster: ReturnType<typeof createKubernetesCluster>;
/** By the token that asks for it; the first page's is empty. */
let pages: ReadonlyMap<string, string>;
let asked: string[];

beforeAll(async () => {
  const authority = createAuthority();
  const { certificate: cert, key } = authority.issue(['127.0.0.1']);
  server = createServer({ cert, key }, ({ url = '' }, response) => {
    const token = new URL(url, 'https://127.0.0.1').searchParams.get('continue') ?? '';
    asked.push(token);
    const page = pages.get(token);
    response.writeHead(page === undefined ? 400 : 200, { 'content-type': 'application/json' });
    response.end(page ?? '{"kind":"Status","status":"Failure","reason":"BadRequest","code":400}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  cluster = createKubernetesCluster(
    {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url, certificateAuthority: authority.certificate }),
      bearerToken: async () => new SecretValue('token'),
    },
    systemClock,
  );
});
afterAll(async () => {
  await cluster.close();
  await new Promise((resolve) => server.close(resolve));
});

function textOf(items: readonly Item[], next: string, layout: Layout): string {
  const objects = items.map(({ name, astray }) => ({
    metadata: {
      name,
      namespace: 'default',
      annotations: { note: astray === 'text' ? '"metadata":{"continue":"astray"' : '' },
    },
    spec: astray === 'field' ? { metadata: { continue: 'astray' } } : {},
  }));
  if (layout === 'custom resource')
    return JSON.stringify({
      apiVersion: 'batch/v1',
      items: objects,
      kind: 'CronJobList',
      metadata: { continue: next, resourceVersion: '7' },
    });
  const list = {
    kind: 'CronJobList',
    apiVersion: 'batch/v1',
    metadata: { resourceVersion: '7', ...(next && { continue: next, remainingItemCount: 1 }) },
    items: objects,
  };
  if (layout === 'indented') return JSON.stringify(list, undefined, 2);
  return layout === 'escaped' ? JSON.stringify(list).replace('"continue"', '"\\u0063ontinue"') : JSON.stringify(list);
}

const item: fc.Arbitrary<Item> = fc.record({
  name: fc.stringMatching(/^[a-z]{1,8}$/),
  astray: fc.constantFrom('nothing', 'nothing', 'text', 'field'),
});
const layouts = fc.constantFrom<Layout>('typed', 'custom resource', 'indented', 'escaped');
const lists = fc.array(fc.array(item, { maxLength: 4 }), { minLength: 1, maxLength: 5 });

test('a list is what its pages say when they are parsed, and each page is asked for once', async () => {
  await fc.assert(
    fc.asyncProperty(lists, layouts, async (list, layout) => {
      const tokenOf = (index: number) => (index === 0 || index === list.length ? '' : `page-${index}`);
      pages = new Map(list.map((items, index) => [tokenOf(index), textOf(items, tokenOf(index + 1), layout)]));
      asked = [];

      const found = await cluster.cronJobs(deadlineIn(30_000, systemClock));

      expect(found.map(({ name }) => name)).toEqual(list.flat().map(({ name }) => name));
      expect(asked.filter((token) => token !== 'astray')).toEqual(list.map((_, index) => tokenOf(index)));
      // Only a field of that very name and place misleads, which no kind that Rekey lists has.
      if (list.flat().every(({ astray }) => astray !== 'field')) expect(asked).not.toContain('astray');
    }),
    { numRuns: 300 },
  );
});

test('a page that is asked for in vain is nobody’s failure', async () => {
  pages = new Map([['', textOf([{ name: 'report', astray: 'field' }], '', 'typed')]]);
  asked = [];

  const found = await cluster.cronJobs(deadlineIn(30_000, systemClock));

  expect(found.map(({ name }) => name)).toEqual(['report']);
});
