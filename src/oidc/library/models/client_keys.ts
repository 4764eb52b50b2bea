/**
 * The keys at a client's `jwks_uri`. oidc-provider asks for them where a signature cannot be verified with those it has,
 * but not while these are fresh, and takes a failed answer for fresh too. And it goes on with keys that verify, however old
 * they are, so that one that was withdrawn would stay good. Here an unknown key or a failure is followed by another
 * request after seconds, and old keys are not used.
 */

import { errors } from 'oidc-provider';
import { lifeSeconds } from '../../../lifetimes.ts';
import { byOperatorsChoice } from '../client_fetches.ts';
import { currentScope } from '../request_scope.ts';

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

/** Between two requests for the same keys: for a key that is not among them, or after an answer that was of no use. */
const betweenMs = 5000;

/**
 * Replaces `fresh`, `refresh` and `selectForVerify` of this client's key store. `ofOperator`: whether the operator has
 * registered the client. `now`: milliseconds since the epoch.
 */
export function overrideClientKeys(client: KeyHolder, ofOperator: boolean, now: () => number): void {
  const { jwksUri: uri, asymmetricKeyStore: keys, clientAuthMethod: method } = client;
  if (uri === undefined) return;
  const { refresh, selectForVerify } = keys;
  const { shortestKeys, shortestCertificates, longestKeys } = lifeSeconds;
  const leastMs = (method.includes('tls') ? shortestCertificates : shortestKeys) * 1000;
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
      goodUntil = now() + Math.min(Math.max(saysMs, leastMs), longestKeys * 1000);
    } finally {
      // One that was not even sent, because of who caused it, keeps nobody else waiting.
      if (!currentScope()?.refusal) askAgainAt = now() + betweenMs;
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
