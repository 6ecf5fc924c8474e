import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createAuthority } from '../certificates.ts';
import type { User } from '../kubernetes/api/authorization.ts';

export interface TokenReviewServer {
  readonly url: string;
  readonly caPem: string;
  close(): Promise<void>;
}

/** The webhook that an API server asks whose a token is (authentication.k8s.io/v1 TokenReview), as EKS has one. */
export async function startTokenReview(authenticate: (token: string) => User | undefined): Promise<TokenReviewServer> {
  const authority = createAuthority('token review');
  const { certificate: cert, key } = authority.issue(['127.0.0.1']);
  const server = createServer({ cert, key }, async (request, response) => {
    const { apiVersion, kind, spec } = JSON.parse(await text(request));
    const user = authenticate(spec.token);
    const status = user ? { authenticated: true, user } : { authenticated: false };
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ apiVersion, kind, status }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    caPem: authority.certificate,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
