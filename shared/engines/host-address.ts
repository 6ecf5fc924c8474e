import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';

/**
 * How long a server may keep a new connection waiting. One of Aurora that has paused itself takes some 15 s to resume
 * (Aurora User Guide, "Scaling to zero ACUs with automatic pause and resume").
 */
export const CONNECT_MS = 20_000;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/** Addresses at which no database is, but perhaps the metadata service of the machine that asks. */
const NEVER = new BlockList();
NEVER.addSubnet('0.0.0.0', 8);
NEVER.addSubnet('169.254.0.0', 16); // link-local: instance metadata, container credentials
NEVER.addSubnet('224.0.0.0', 3); // multicast, reserved, broadcast
NEVER.addAddress('::', 'ipv6');
NEVER.addSubnet('fe80::', 10, 'ipv6'); // link-local
NEVER.addSubnet('fd00:ec2::', 32, 'ipv6'); // instance metadata and resolver of EC2
NEVER.addSubnet('ff00::', 8, 'ipv6'); // multicast

/** @param address of IPv4 or IPv6, as numbers */
export function mayHoldDatabase(address: string, allowLoopback: boolean): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  return !NEVER.check(address, family) && (allowLoopback || !LOOPBACK.check(address, family));
}

/**
 * Looks a host up once and says where to connect to, so that what was checked is what is used. Private addresses are
 * fine: that is where RDS lives. What a name may look like is checked where the secret is parsed.
 * @throws RekeyError HOST_NOT_ALLOWED, DATABASE_UNREACHABLE
 */
export async function resolveHost(host: string, allowLoopback: boolean, deadline: Deadline): Promise<string> {
  const addresses = await addressesOf(host, deadline);
  for (const address of addresses)
    if (!mayHoldDatabase(address, allowLoopback))
      throw new RekeyError('HOST_NOT_ALLOWED', `${host} resolves to ${address}, where no database may be`);
  const [first] = addresses;
  if (first === undefined) throw new RekeyError('DATABASE_UNREACHABLE', `no address is known for ${host}`);
  return first;
}

async function addressesOf(host: string, deadline: Deadline): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new RekeyError('DATABASE_UNREACHABLE', `the resolver did not answer for ${host} in time`)),
      deadline.remainingMs(),
    );
  });
  try {
    // IPv4 first: `localhost` is often both, and a server rarely listens on both.
    const found = lookup(host, { all: true, order: 'ipv4first' });
    return (await Promise.race([found, tooLate])).map(({ address }) => address);
  } catch (error) {
    if (error instanceof RekeyError) throw error;
    throw new RekeyError('DATABASE_UNREACHABLE', `the name ${host} cannot be resolved`);
  } finally {
    clearTimeout(timer);
  }
}
