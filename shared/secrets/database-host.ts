import { isIP } from 'node:net';
import { mayHoldDatabase } from '../engines/host-address.ts';

/**
 * Which servers a secret may name, and who may vouch for them. A security group is the real guard of hosts; this one
 * refuses what no group can see.
 */
export interface HostPolicy {
  /** For a sandbox on one machine only. */
  readonly allowLoopback: boolean;
  /** When not empty, a host must end in one of these, e.g. `.rds.amazonaws.com`. */
  readonly allowedSuffixes: readonly string[];
  /** Bundles of authorities that the tag `rekey:ca` may name, as PEM by their names. */
  readonly authorities: ReadonlyMap<string, string>;
}

const LOOPBACK = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/i;
/** Names that reach the metadata service of the machine that asks. */
const METADATA = /^instance-data(\.|$)|^metadata\.google\.internal$/i;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** `name.proxy-….region.rds.amazonaws.com`, and `name.endpoint.proxy-…` (RDS User Guide, "Working with RDS Proxy endpoints"). */
const RDS_PROXY = /\.proxy-[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.com(\.cn)?$/i;

/** Whether this is an endpoint of RDS Proxy, by its name. An alias of one does not show it. */
export const isRdsProxy = (host: string): boolean => RDS_PROXY.test(host);

/**
 * Why a host is refused, as the end of a sentence, or undefined when it is fine. Whoever can write the secret picks
 * the host, and Rekey then logs in there: so it must be one DNS name and nothing that a driver, a resolver or libpq
 * reads as more than that.
 * @param certificateName what the certificate must carry, where that is said apart: then the host may be an address,
 *   which a certificate rarely carries
 */
export function hostFault(host: string, policy: HostPolicy, certificateName?: string): string | undefined {
  if (host === '') return 'is empty';
  if (host.length > 253) return 'is longer than a DNS name can be (253 characters)';
  if (LOOPBACK.test(host)) return policy.allowLoopback ? undefined : 'is a loopback address';
  if (isIP(host) !== 0) return addressFault(host, policy, certificateName);
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
  return suffixFault(host, policy);
}

function addressFault(address: string, policy: HostPolicy, certificateName: string | undefined): string | undefined {
  if (certificateName === undefined)
    return 'is an IP address, and nothing says which name the certificate of the server carries';
  if (!mayHoldDatabase(address, policy.allowLoopback)) return 'is an address where no database may be';
  return suffixFault(address, policy);
}

function suffixFault(host: string, { allowedSuffixes }: HostPolicy): string | undefined {
  if (allowedSuffixes.length === 0 || allowedSuffixes.some((suffix) => host.toLowerCase().endsWith(suffix)))
    return undefined;
  return `does not end in ${allowedSuffixes.join(' or ')}`;
}
