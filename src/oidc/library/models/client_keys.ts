/**
 * The keys at a client's `jwks_uri`. oidc-provider fetches them if no key fits a signature, but not while its keys
 * are fresh, and it counts a failed fetch as fresh. It also uses old keys forever as long as they fit, so a withdrawn
 * key would stay valid. Here, an unknown key or a failure leads to another fetch after seconds, and old keys are not
 * used.
 */

import { errors } from 'oidc-provider';
import { lifeSeconds } from '../../../lifetimes.ts';
import { byOperatorsChoice } from '../client_fetches.ts';
import { currentScope } from '../request_scope.ts';

/** The members of a client's key store in the library that we use and replace. */
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

/** The least time between two fetches of the same keys, if a key is unknown or a fetch has failed. */
const betweenMs = 5000;

/**
 * Replaces `fresh`, `refresh` and `selectForVerify` of this client's key store. `ofOperator`: whether the operator
 * has registered the client, so that its keys may be on an internal network. `now`: milliseconds since the epoch.
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
      // If the rate limit of the causing address stopped the fetch, others may fetch immediately.
      if (!currentScope()?.refusal) askAgainAt = now() + betweenMs;
      asking = false;
      underWay = undefined;
    }
  }

  Object.assign(keys, {
    // The library calls this if no key fits, and then calls `refresh` immediately. Its own `refresh` calls this
    // again.
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
