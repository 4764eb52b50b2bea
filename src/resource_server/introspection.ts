/**
 * Asks the issuer about a token (RFC 7662), with the API's own client credentials. So revocations are seen. An answer
 * is reused for a bounded time, never after the token has expired. A bounded number of answers is kept, by the
 * token's hash.
 */
import { hash } from 'node:crypto';
import { type Access, accessOf, type Expected } from './access.ts';
import { createExpiringMap } from './expiring_map.ts';
import { type Fetch, fetchJson } from './fetch_json.ts';
import { Refused } from './refusal.ts';

const mostAnswers = 10_000;

export interface IntrospectionOptions {
  issuer: string;
  clientId: string;
  clientSecret: string;
  cacheSeconds: number;
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/**
 * The addresses where the issuer's metadata may be. OpenID Connect appends the well-known path to the issuer. RFC
 * 8414, section 3.1, puts it between host and path; if the issuer has a path, that is tried first.
 */
function metadataAddresses(issuer: string): [first: string, second: string] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const openid = `${issuer}/.well-known/openid-configuration`;
  const oauth = `${origin}/.well-known/oauth-authorization-server${path}`;
  return path === '' ? [openid, oauth] : [oauth, openid];
}

export function createIntrospection(options: IntrospectionOptions) {
  const { issuer, clientId, clientSecret, cacheSeconds, fetch, now } = options;
  const answers = createExpiringMap<Record<string, unknown>>(mostAnswers, now);
  const underWay = new Map<string, { begun: number; asking: Promise<Record<string, unknown>> }>();
  let endpoint: Promise<string> | undefined;
  // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
  const encode = (value: string) => new URLSearchParams([['', value]]).toString().slice(1);
  const credentials = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64');

  async function discoverAt(address: string): Promise<string> {
    const { json } = await fetchJson(fetch, address);
    const found = json as { issuer?: unknown; introspection_endpoint?: unknown };
    if (found.issuer !== issuer || typeof found.introspection_endpoint !== 'string')
      throw new Error(`${issuer} names no introspection endpoint of its own`);
    return found.introspection_endpoint;
  }

  async function discover(): Promise<string> {
    const [first, second] = metadataAddresses(issuer);
    return discoverAt(first).catch(() => discoverAt(second));
  }

  async function ask(token: string): Promise<Record<string, unknown>> {
    endpoint ??= discover();
    endpoint.catch(() => {
      endpoint = undefined;
    });
    const { json } = await fetchJson(fetch, await endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${credentials}`, accept: 'application/json' },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
    });
    return json as Record<string, unknown>;
  }

  async function answerTo(token: string): Promise<Record<string, unknown>> {
    const key = hash('sha256', token, 'base64url');
    const kept = answers.get(key);
    if (kept) return kept;
    const asked = underWay.get(key);
    const begun = now();
    // The answer is as old as its question. If that is more than an answer's age may be, this request must ask for
    // itself; with 0 seconds each request does.
    if (asked && begun < asked.begun + cacheSeconds * 1000) return asked.asking;
    const asking = ask(token).finally(() => {
      if (underWay.get(key)?.asking === asking) underWay.delete(key);
    });
    if (cacheSeconds > 0) underWay.set(key, { begun, asking });
    const answer = await asking;
    const endMs = typeof answer.exp === 'number' ? answer.exp * 1000 : Number.POSITIVE_INFINITY;
    // Counted from the question, not from the answer: a token that was revoked in between must not stay valid for
    // longer.
    answers.set(key, answer, Math.min(begun + cacheSeconds * 1000, endMs), { makeRoom: true });
    return answer;
  }

  /** Asks about the token, or reuses an answer, and checks its claims. Throws Refused. */
  return async function introspect(token: string, expected: Expected): Promise<Access> {
    const answer = await answerTo(token).catch((error: unknown) => {
      throw new Refused('provider_unreachable', error);
    });
    // The answer about a refresh token has no `token_type`.
    if (answer.active !== true) throw new Refused('token_inactive');
    if (answer.token_type !== 'Bearer' && answer.token_type !== 'DPoP') throw new Refused('token_foreign');
    return accessOf(answer, { iat: Number(answer.iat), exp: Number(answer.exp) }, expected);
  };
}
