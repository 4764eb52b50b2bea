/**
 * Requests that oidc-provider makes for a client: for its keys, its sector's addresses and its metadata document, and to
 * tell it something. Decided here: which of them may reach an inner network, how many one address may cause, and how
 * long keys are kept. test/http/provider_internals.test.ts breaks where a release asks in another way.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from 'koa';
import Provider, { errors } from 'oidc-provider';
import type { Outgoing, OutgoingRequest } from '../../http/outgoing.ts';
import type { AppError } from '../../lib/errors.ts';
import { requestMemory } from '../../lib/request_memory.ts';

/** The one address that the operator has chosen for the client that is being served. */
const chosen = new AsyncLocalStorage<string>();

/** Whatever `work` asks of exactly this address may be asked on an inner network: the operator chose it for this client. */
export const byOperatorsChoice = <T>(uri: string, work: () => T): T =>
  chosen.run(URL.parse(uri)?.href ?? '', work);

/** Whether a client of the operator's is being served or checked. */
export const isOperatorsWord = (): boolean => chosen.getStore() !== undefined;

const refusals = requestMemory<AppError>('outgoing requests refused');

/** 429 where this request was to cause more outgoing requests than its address may. */
export const refusedToAsk = (ctx: object): AppError | undefined => refusals.get(ctx);

export interface FetchDeps {
  outgoing: Outgoing;
  /** Counts a request that this address causes. Returns the refusal where it is one too many. */
  count(address: string): Promise<AppError | undefined>;
}

/** `ctx`: the request that causes it; none where nobody waits for it. */
export type ClientFetch = (
  address: string | URL,
  options?: OutgoingRequest,
  ctx?: Context,
) => Promise<Response>;

/** What the library is given for its `fetch`. */
export function createClientFetch({ outgoing, count }: FetchDeps): ClientFetch {
  return async (address, options, ctx = Provider.ctx) => {
    const refusal = ctx && (await count(ctx.ip));
    if (refusal) {
      refusals.set(ctx, refusal);
      throw refusal;
    }
    const { href } = new URL(address);
    return outgoing(href, { ...options, anywhere: chosen.getStore() === href });
  };
}

/** What the library's key store of a client is asked for. */
interface KeyStore {
  freshUntil?: number | undefined;
  fresh(): boolean;
  refresh(): Promise<void>;
  selectForVerify(query: object): object[];
}

export interface KeyHolder {
  jwksUri?: string | undefined;
  clientAuthMethod: string;
  asymmetricKeyStore: KeyStore;
}

/** Keys are good for what their answer says, within these bounds. A certificate has no `kid` by which to miss it. */
const goodMs = { least: 600_000, leastOfCertificates: 60_000, most: 86_400_000 };
/** Between two requests for the same keys: for a key that is not among them, or after an answer that was of no use. */
const betweenMs = 5000;

/**
 * The keys at a client's `jwks_uri`. oidc-provider asks for them where a signature cannot be verified with those it has,
 * but not while these are fresh, and takes a failed answer for fresh too. And it goes on with keys that verify, however old
 * they are, so that one that was withdrawn would stay good. Here an unknown key or a failure is followed by another
 * request after seconds, and old keys are not used. `ofOperator`: whether the operator has registered the client.
 */
export function fetchKeysAgain(client: KeyHolder, ofOperator: boolean, now: () => number): void {
  const { jwksUri: uri, asymmetricKeyStore: keys, clientAuthMethod: method } = client;
  if (uri === undefined) return;
  const { refresh, selectForVerify } = keys;
  const leastMs = method.includes('tls') ? goodMs.leastOfCertificates : goodMs.least;
  let goodUntil = Number.NEGATIVE_INFINITY;
  let askAgainAt = Number.NEGATIVE_INFINITY;
  let missed = false;
  let asking = false;
  let underWay: Promise<void> | undefined;

  async function ask(): Promise<void> {
    asking = true;
    delete keys.freshUntil;
    try {
      await (ofOperator ? byOperatorsChoice(uri ?? '', () => refresh.call(keys)) : refresh.call(keys));
      const saysMs = (keys.freshUntil ?? 0) * 1000 - Date.now();
      goodUntil = now() + Math.min(Math.max(saysMs, leastMs), goodMs.most);
    } finally {
      // One that was not even sent, because of who caused it, keeps nobody else waiting.
      if (!(Provider.ctx && refusedToAsk(Provider.ctx))) askAgainAt = now() + betweenMs;
      asking = false;
      underWay = undefined;
    }
  }

  Object.assign(keys, {
    // The library looks at this where no key fits, and then asks at once for a refresh; and again within that.
    fresh() {
      if (asking) return false;
      missed = now() >= askAgainAt;
      return !missed;
    },
    async refresh() {
      const needed = missed || now() >= goodUntil;
      missed = false;
      if (!underWay && !needed) return;
      if (!underWay && now() < askAgainAt)
        throw new errors.InvalidClientMetadata('the keys at jwks_uri could not be fetched a moment ago');
      underWay ??= ask();
      await underWay;
    },
    selectForVerify: (query: object) => (now() < goodUntil ? selectForVerify.call(keys, query) : []),
  });
}
