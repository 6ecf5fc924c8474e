import type { Cluster } from '@aws-sdk/client-eks';
import { z } from 'zod';
import { handleWith, operation } from './operation.ts';
import { AwsError, type AwsService } from './service.ts';

export interface Eks extends AwsService {
  /** Replaces all clusters, in the shape that an SDK client returns; each needs a name. */
  setClusters(clusters: readonly Cluster[]): void;
}

/** Simulated EKS: says where the clusters are that it was told of. */
export function createEks(clusters: readonly Cluster[], { region }: { readonly region: string }): Eks {
  let known = byName(clusters);

  const operations = {
    DescribeCluster: operation(z.object({ name: z.string() }), ({ name }) => {
      const cluster = known.get(name);
      if (!cluster) throw new AwsError('ResourceNotFoundException', `No cluster found for name: ${name}.`, 404);
      return { cluster };
    }),
    ListClusters: operation(
      z.object({
        maxResults: z.coerce.number().int().min(1).max(100).default(100),
        nextToken: z.string().default(''),
      }),
      ({ maxResults, nextToken }) => {
        const rest = [...known.keys()].sort().filter((name) => name > nextToken);
        const page = rest.slice(0, maxResults);
        return { clusters: page, nextToken: rest.length > page.length ? page.at(-1) : undefined };
      },
      'InvalidParameterException',
    ),
  };

  return {
    name: 'eks',
    protocols: [
      {
        kind: 'rest-json',
        route(method, path, query) {
          if (method !== 'GET') return undefined;
          if (path === '/clusters') return { operation: 'ListClusters', input: Object.fromEntries(query) };
          const name = /^\/clusters\/([^/]+)$/.exec(path)?.[1];
          return name ? { operation: 'DescribeCluster', input: { name: decodeURIComponent(name) } } : undefined;
        },
      },
    ],
    handle: handleWith(operations),
    denial: { code: 'AccessDeniedException', status: 403 },
    needs(name, input, { accountId }) {
      const cluster = (input as { name?: string } | undefined)?.name;
      const resource = cluster === undefined ? '*' : `arn:aws:eks:${region}:${accountId}:cluster/${cluster}`;
      return [{ action: `eks:${name}`, resource }];
    },
    setClusters(next) {
      known = byName(next);
    },
  };
}

function byName(clusters: readonly Cluster[]): ReadonlyMap<string, Cluster> {
  return new Map(clusters.map((cluster) => [z.string().min(1).parse(cluster.name), cluster]));
}
