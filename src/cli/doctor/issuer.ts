/** Checks access from outside: ISSUER answers with its own name, and does not believe a made-up address. */
import { type Seen, seenPath, seenProof } from '../../http/seen.ts';
import type { Finding } from './finding.ts';

type Found = Omit<Finding, 'about'>;

const timeoutMs = 5000;
/** An address from a range for documentation (RFC 5737), which nobody has. */
const madeUpAddress = '198.51.100.77';

async function ask(url: string, headers: Record<string, string> = {}): Promise<Response> {
  try {
    return await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    const { cause, message } = error as Error;
    throw new Error(`${url}: ${cause instanceof Error ? cause.message || String(cause) : message}`);
  }
}

/** Rejects if `issuer` cannot be reached within five seconds. */
export async function checkIssuer(issuer: string): Promise<Found[]> {
  const url = `${issuer}/.well-known/openid-configuration`;
  const answer = await ask(url);
  if (answer.status !== 200) {
    return [
      {
        level: 'fault',
        found: `${url} answers ${answer.status}`,
        change: 'let the proxy pass every path of ISSUER to the server, unchanged',
      },
    ];
  }
  const { issuer: named } = (await answer.json()) as { issuer?: string };
  if (named !== issuer) {
    return [
      {
        level: 'fault',
        found: `${url} says that its issuer is ${named}`,
        change: 'give the server and this command the same ISSUER',
      },
    ];
  }
  return [{ level: 'ok', found: `${issuer} answers as itself` }];
}

/** `proofKey`: the server's key for the endpoint that reports how a request arrives. */
export async function checkProxy(issuer: string, proofKey: Uint8Array, nowMs: number): Promise<Found[]> {
  const answer = await ask(issuer + seenPath, {
    authorization: seenProof(proofKey, nowMs),
    'x-forwarded-for': madeUpAddress,
  });
  if (answer.status !== 200) {
    return [
      {
        level: 'fault',
        found: `${issuer}${seenPath} answers ${answer.status} to who has the server's keys`,
        change: 'let the proxy pass Authorization; run the command with the key and database of that server',
      },
    ];
  }
  const seen = (await answer.json()) as Seen;
  const found = judge(seen, issuer);
  const others = (seen.untrustedProxies ?? []).filter((address) => address !== seen.peer);
  if (others.length === 0) return [found];
  return [
    found,
    {
      level: 'warning',
      found: `requests came by ${others.join(', ')}, which TRUSTED_PROXIES does not name: everybody behind such a proxy counts as one address`,
      change: `if they are yours, TRUSTED_PROXIES=${others.join(',')}; if not, let nobody reach the server past your proxy`,
    },
  ];
}

/** Judges the proxies by how a request that claims `madeUpAddress` arrived. Pure. */
export function judge(
  { address, peer, peerTrusted, forwardedFor, forwardedProto }: Omit<Seen, 'untrustedProxies'>,
  issuer: string,
): Found {
  if (peerTrusted && hopsOf(forwardedFor).at(-1) === peer) {
    return {
      level: 'warning',
      found: `the proxy is on this machine and counts this command as itself (${peer}), which says nothing of other people's requests`,
      change: 'run this command on a machine that reaches the server as people do',
    };
  }
  if (address === madeUpAddress) {
    return {
      level: 'fault',
      found: `anybody may claim any address: a made-up X-Forwarded-For was believed (from ${peer})`,
      change:
        'let the proxy append to or replace X-Forwarded-For, and name in TRUSTED_PROXIES proxies alone, no network of clients',
    };
  }
  const proxied = forwardedFor !== madeUpAddress || forwardedProto !== undefined;
  if (proxied && address === peer) {
    return {
      level: 'fault',
      found: `a proxy at ${peer} is not trusted: everybody counts as one address, and shares one limit`,
      change: `TRUSTED_PROXIES=${peer}`,
    };
  }
  const behind = hopBefore(address, forwardedFor);
  if (proxied && behind !== undefined) {
    return {
      level: 'fault',
      found: `a proxy at ${address} is not trusted: it forwarded a request of ${behind}, and everybody behind it counts as one address`,
      change: `TRUSTED_PROXIES=${peer},${address}`,
    };
  }
  if (!proxied && issuer.startsWith('https:')) {
    return {
      level: 'warning',
      found: `whatever ends TLS for ${issuer} says nothing of who asks: everybody counts as ${address}`,
      change: 'let it append to X-Forwarded-For, and name it in TRUSTED_PROXIES',
    };
  }
  return {
    level: 'ok',
    found: proxied ? `a request comes by ${peer} and counts as ${address}` : 'no proxy between',
  };
}

/** The hop before `address` in X-Forwarded-For. Undefined if there is none, or only the made-up address. */
function hopBefore(address: string, forwardedFor: string | undefined): string | undefined {
  const hops = hopsOf(forwardedFor);
  const before = hops[hops.lastIndexOf(address) - 1];
  return before === undefined || before === madeUpAddress ? undefined : before;
}

/** The addresses of X-Forwarded-For, without the ports that some proxies write. */
const hopsOf = (forwardedFor: string | undefined): string[] =>
  (forwardedFor?.split(',') ?? []).map((hop) => {
    const [, v6, v4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?$/.exec(hop.trim()) ?? [];
    return v6 ?? v4 ?? hop.trim();
  });
