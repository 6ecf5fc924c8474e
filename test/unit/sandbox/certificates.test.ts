import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import { type Certificate, createAuthority, EXPIRED } from '../../sandbox/certificates.ts';

/** How Node's own TLS client judges a server that shows this certificate. */
async function verdict(shown: Certificate, trusted: string, host: string): Promise<string> {
  const server = createServer({ cert: shown.certificate, key: shown.key }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: trusted,
    ...(host === '127.0.0.1' ? {} : { servername: host }),
  });
  try {
    return await new Promise((resolve) => {
      socket.once('secureConnect', () => resolve('trusted'));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  } finally {
    socket.destroy();
    server.close();
  }
}

describe('certificates of the tests', () => {
  const authority = createAuthority();
  const server = authority.issue(['localhost', '127.0.0.1']);

  test.each(['localhost', '127.0.0.1'])('are trusted for the name %s that they carry', async (host) => {
    expect(await verdict(server, authority.certificate, host)).toBe('trusted');
  });

  test('are refused for a name that they do not carry', async () => {
    expect(await verdict(server, authority.certificate, 'db.example.com')).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  test('are refused once they expired', async () => {
    const expired = authority.issue(['localhost'], EXPIRED);

    expect(await verdict(expired, authority.certificate, 'localhost')).toBe('CERT_HAS_EXPIRED');
  });

  test('are refused by whoever trusts another authority of the same name', async () => {
    expect(await verdict(server, createAuthority().certificate, 'localhost')).not.toBe('trusted');
  });
});
