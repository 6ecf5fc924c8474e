import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createAuthority } from '../certificates.ts';
import type { Answer } from '../kubernetes/api-client.ts';

export interface Webhook {
  readonly url: string;
  readonly caPem: string;
  close(): Promise<void>;
}

/** What an API server asks over HTTPS. @param answer what to say to a review, beside its kind */
export async function startWebhook(answer: (review: Answer['body']) => object): Promise<Webhook> {
  const authority = createAuthority('webhook');
  const { certificate: cert, key } = authority.issue(['127.0.0.1']);
  const server = createServer({ cert, key }, async (request, response) => {
    const review = JSON.parse(await text(request));
    const { apiVersion, kind } = review;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ apiVersion, kind, ...answer(review) }));
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
