/**
 * Which addresses belong to the public internet, so that a server may be asked by a stranger to call them (against SSRF).
 *
 * IPv4: everything but the blocks that IANA has registered for a special purpose. IPv6: only what is allocated as global
 * unicast, without the blocks in it that carry an IPv4 address or are for a special purpose. So an IPv4 address in any form
 * of IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is never public.
 */
import { BlockList, isIP } from 'node:net';

/** IANA's registry of special-purpose IPv4 addresses, and multicast. */
const specialV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
const globalV6 = ['2000::/3'];
/** Within global unicast: protocols of the IETF with Teredo and ORCHID, documentation, 6to4, and the AS112 servers. */
const specialV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'];

function blocks(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [network = '', bits] = subnet.split('/');
    list.addSubnet(network, Number(bits), family);
  }
  return list;
}

const special4 = blocks('ipv4', specialV4);
const special6 = blocks('ipv6', specialV6);
const global6 = blocks('ipv6', globalV6);

/** Whether the text is an IP address of the public internet; false for anything that is no IP address. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !special4.check(address, 'ipv4');
  // A zone names an interface of this machine.
  return family === 6 && !address.includes('%') && global6.check(address, 'ipv6') && !special6.check(address, 'ipv6');
}

const loopback4 = blocks('ipv4', ['127.0.0.0/8']);

/** Whether the text is an address of this machine itself, in its plain form. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && loopback4.check(address, 'ipv4'));
}
