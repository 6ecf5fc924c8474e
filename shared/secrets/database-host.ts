import { isIP } from 'node:net';

/** Which hosts a secret may name. A security group is the real guard; this one refuses what no group can see. */
export interface HostPolicy {
  /** For a sandbox on one machine only. */
  readonly allowLoopback: boolean;
  /** When not empty, a host must end in one of these, e.g. `.rds.amazonaws.com`. */
  readonly allowedSuffixes: readonly string[];
}

const LOOPBACK = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/i;
/** Names that reach the metadata service of the machine that asks. */
const METADATA = /^instance-data(\.|$)|^metadata\.google\.internal$/i;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * Why a host is refused, as the end of a sentence, or undefined when it is fine. Whoever can write the secret picks
 * the host, and Rekey then logs in there: so it must be one DNS name and nothing that a driver, a resolver or libpq
 * reads as more than that.
 */
export function hostFault(host: string, policy: HostPolicy): string | undefined {
  if (host === '') return 'is empty';
  if (host.length > 253) return 'is longer than a DNS name can be (253 characters)';
  if (LOOPBACK.test(host)) return policy.allowLoopback ? undefined : 'is a loopback address';
  if (isIP(host) !== 0) return 'is an IP address, which a server certificate does not carry';
  if (host.startsWith('/')) return 'is the path of a Unix socket';
  if (host.includes(',')) return 'is a list; name one host';
  if (host.includes('@')) return 'carries a user name';
  if (host.endsWith('.')) return 'ends in a dot, which a server certificate does not';
  const labels = host.split('.');
  if (!labels.every((label) => LABEL.test(label)))
    return 'is not a DNS name of ASCII letters, digits, hyphens and dots';
  // inet_aton also reads 2130706433, 0x7f000001 and 127.1 as addresses: a name never ends in a number.
  if (/^(\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '')) return 'is a disguised IP address';
  if (METADATA.test(host)) return 'is the metadata service';
  const { allowedSuffixes } = policy;
  if (allowedSuffixes.length > 0 && !allowedSuffixes.some((suffix) => host.toLowerCase().endsWith(suffix)))
    return `does not end in ${allowedSuffixes.join(' or ')}`;
  return undefined;
}
