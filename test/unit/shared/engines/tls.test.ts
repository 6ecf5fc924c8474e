import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type DetailedPeerCertificate } from 'node:tls';
import { expect, test } from '@jest/globals';
import { certificateFacts, tlsOptions } from '../../../../shared/engines/tls.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { createAuthority } from '../../../sandbox/certificates.ts';

const DAY_MS = 86_400_000;

test('a certificate is good for no longer than the authority that vouches for it', async () => {
  const authority = createAuthority(); // until tomorrow
  const validity = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 60 * DAY_MS) };
  const { certificate: cert, key } = authority.issue(['localhost'], validity);
  const server = createServer({ cert, key }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const at = { host: 'localhost', port, database: '', username: 'app', password: new SecretValue('x') };
  let shown: DetailedPeerCertificate | undefined;
  const options = tlsOptions(at, { ca: authority.certificate, allowLoopback: true }, (certificate) => {
    shown = certificate;
  });
  const socket = connect({ ...options, host: '127.0.0.1', port });
  await once(socket, 'secureConnect');
  socket.destroy();
  server.close();

  const facts = shown && certificateFacts(shown);

  expect(facts?.issuer).toBe('Rekey test CA');
  expect((facts?.validUntilMs ?? 0) - Date.now()).toBeGreaterThan(0);
  expect((facts?.validUntilMs ?? 0) - Date.now()).toBeLessThan(2 * DAY_MS);
});
