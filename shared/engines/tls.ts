import { isIP } from 'node:net';
import {
  checkServerIdentity,
  createSecureContext,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
} from 'node:tls';
import type { Credentials, ServerFacts } from './port.ts';

/** Which servers may be believed. */
export interface Trust {
  /** PEM: the authorities that may vouch for a database. */
  readonly ca: string;
  /** For a sandbox on one machine only. */
  readonly allowLoopback: boolean;
}

/**
 * Options of Node's `tls.connect` for a connection to an address that was looked up before: the certificate must be
 * good for the name that people wrote, not for the address. Undefined where a person asked for plaintext.
 * @param seen is given the certificate once its name was found right
 */
export function tlsOptions(
  { host, transport }: Credentials,
  trust: Trust,
  seen: (certificate: DetailedPeerCertificate) => void,
) {
  if (transport?.kind === 'plaintext') return undefined;
  const name = transport?.serverName ?? host;
  return {
    secureContext: secureContextOf(transport?.ca ?? trust.ca),
    rejectUnauthorized: true,
    ...(isIP(name) === 0 ? { servername: name } : {}), // RFC 6066: no address there
    checkServerIdentity(_: string, certificate: PeerCertificate) {
      const fault = checkServerIdentity(name, certificate);
      // Node passes it with its issuers, whatever the type says (lib/_tls_wrap.js).
      if (fault === undefined) seen(certificate as DetailedPeerCertificate);
      return fault;
    },
  } as const;
}

/** By its authorities: those of RDS are over a hundred certificates, more work to read than a handshake is. */
const contexts = new Map<string, SecureContext>();

function secureContextOf(ca: string): SecureContext {
  const known = contexts.get(ca) ?? createSecureContext({ ca, minVersion: 'TLSv1.2' });
  contexts.set(ca, known);
  return known;
}

/** @param certificate with its issuers, as `checkServerIdentity` and `getPeerCertificate(true)` give it */
export function certificateFacts(certificate: DetailedPeerCertificate): ServerFacts['certificate'] {
  const { issuer } = certificate;
  const ends = [...chainOf(certificate)].map(({ valid_to }) => Date.parse(valid_to));
  return { issuer: [issuer.O, issuer.CN].filter(Boolean).join(', '), validUntilMs: Math.min(...ends) };
}

/** Up to the authority that is trusted, which stands as its own issuer. */
function* chainOf(certificate: DetailedPeerCertificate): Iterable<DetailedPeerCertificate> {
  yield certificate;
  const { issuerCertificate } = certificate;
  // The type promises an issuer, but there is none where Node found none.
  if (issuerCertificate !== undefined && issuerCertificate !== certificate) yield* chainOf(issuerCertificate);
}

/** Codes of OpenSSL's certificate checks, as Node names them, and of its TLS stack. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERROR_IN_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH|EPROTO)/;

/** Whether an error with this code says that there is no trustworthy connection, rather than none at all. */
export const isTlsFailure = (code: string): boolean => TLS_CODE.test(code);
