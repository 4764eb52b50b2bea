/**
 * Resolves the names of other servers without libuv's thread pool. `getaddrinfo`, behind Node's `dns.lookup`,
 * occupies one of the pool's four threads until the name server answers. A few names whose servers are silent would
 * stop everything else that needs a thread. So here the hosts file is read first, then DNS is asked over sockets,
 * with a deadline.
 */
import type { LookupAddress } from 'node:dns';
import { lookup, Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { createSlots } from '../lib/slots.ts';

const hostsFile = '/etc/hosts';
/** For one try. There are two, and the second one takes twice as long. */
const tryMs = 600;
/** For getaddrinfo: at most one thread of the pool. */
const withSystem = createSlots(1, 20);

/**
 * All addresses of a name, IPv4 first. `bySystem`: if DNS does not have the name, ask the system, which knows search
 * domains, mDNS and other directories. This occupies a thread, so use it only for names that the operator has chosen.
 * Rejects if there is no address, or if `signal` aborts.
 */
export async function resolveHost(
  host: string,
  { bySystem, signal }: { bySystem: boolean; signal: AbortSignal },
): Promise<LookupAddress[]> {
  const listed = await inHostsFile(host);
  if (listed.length > 0) return listed;
  const found = await byDns(host, signal);
  if (found.addresses.length > 0) return found.addresses;
  // A name server that did not answer would not answer the system either.
  if (bySystem && !found.silent)
    return withSystem(signal, () => lookup(host, { all: true, order: 'ipv4first' }));
  throw new Error(`${host}: no address was found`);
}

async function inHostsFile(host: string): Promise<LookupAddress[]> {
  const text = await readFile(hostsFile, 'utf8').catch(() => '');
  const name = host.toLowerCase().replace(/\.$/, '');
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
    .filter(([address = '', ...names]) => isIP(address) && names.some((each) => each.toLowerCase() === name))
    .map(([address = '']) => ({ address, family: isIP(address) }))
    .sort((a, b) => a.family - b.family);
}

const notThere = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED', 'ESERVFAIL', 'EREFUSED', 'EBADNAME']);

async function byDns(
  host: string,
  signal: AbortSignal,
): Promise<{ addresses: LookupAddress[]; silent: boolean }> {
  // New each time, so that it reads which name servers there are now.
  const resolver = new Resolver({ timeout: tryMs, tries: 2 });
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    return {
      addresses: addresses.map((address) => ({ address, family: isIP(address) })),
      silent: answers.some((answer) => answer.status === 'rejected' && !notThere.has(answer.reason?.code)),
    };
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
