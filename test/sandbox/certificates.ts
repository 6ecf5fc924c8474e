import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/** A certificate and its private key, both PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** A CA that exists only in this process: its key is never written down. */
export interface CertificateAuthority {
  /** PEM, for whoever is to trust it. */
  readonly certificate: string;
  /** @param names DNS names and IPv4 addresses that the certificate is good for */
  issue(names: readonly string[], validity?: Validity): Certificate;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Yesterday to tomorrow: tests never need longer, and a leaked one is soon worthless. */
const BRIEF: Validity = { notBefore: new Date(Date.now() - 86_400_000), notAfter: new Date(Date.now() + 86_400_000) };
/** A certificate that was good until an hour ago. */
export const EXPIRED: Validity = { notBefore: BRIEF.notBefore, notAfter: new Date(Date.now() - 3_600_000) };

/**
 * Node can verify X.509 certificates but not make them, and `npm test` may rely on nothing but Node: so here is the
 * little of DER (ITU-T X.690) that RFC 5280 needs, with P-256 keys.
 */
export function createAuthority(commonName = 'Rekey test CA'): CertificateAuthority {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = x509({
    issuer: commonName,
    subject: commonName,
    publicKey: authority.publicKey,
    signer: authority.privateKey,
    validity: BRIEF,
    extensions: [
      extension('2.5.29.19', true, sequence(TRUE)), // basicConstraints: a CA
      extension('2.5.29.15', true, bitString(Buffer.from([0x06]), 1)), // keyUsage: keyCertSign, cRLSign
    ],
  });
  return {
    certificate,
    issue(names, validity = BRIEF) {
      const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      return {
        key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        certificate: x509({
          issuer: commonName,
          subject: names[0] ?? 'nobody',
          publicKey: server.publicKey,
          signer: authority.privateKey,
          validity,
          extensions: [
            extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'))), // extKeyUsage: serverAuth
            extension('2.5.29.17', false, sequence(...names.map(subjectAltName))),
          ],
        }),
      };
    },
  };
}

interface Contents {
  readonly issuer: string;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

/** RFC 5280 §4.1, as PEM. */
function x509({ issuer, subject, publicKey, signer, validity, extensions }: Contents): string {
  const algorithm = sequence(oid('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and without a leading zero byte
  const toBeSigned = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))), // version 3
    tagged(0x02, serial),
    algorithm,
    name(issuer),
    sequence(time(validity.notBefore), time(validity.notAfter)),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  );
  const der = sequence(toBeSigned, algorithm, bitString(sign('sha256', toBeSigned, signer)));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const TRUE = Buffer.from([0x01, 0x01, 0xff]);

function tagged(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...contents: readonly Buffer[]): Buffer => tagged(0x30, ...contents);

const bitString = (bits: Buffer, unusedBits = 0): Buffer => tagged(0x03, Buffer.from([unusedBits]), bits);

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return tagged(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

/** One common name. */
const name = (commonName: string): Buffer =>
  sequence(tagged(0x31, sequence(oid('2.5.4.3'), tagged(0x0c, Buffer.from(commonName)))));

/** UTCTime: YYMMDDHHMMSSZ. */
const time = (date: Date): Buffer =>
  tagged(0x17, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), tagged(0x04, value));

const subjectAltName = (host: string): Buffer =>
  isIPv4(host) ? tagged(0x87, Buffer.from(host.split('.').map(Number))) : tagged(0x82, Buffer.from(host));
