/**
 * Override of oidc-provider's keystore: the library takes keys in once, when it is built, and has no way to change them.
 * Its own function for that is called again here: it checks the new keys like the first ones and puts them in the place
 * of the old ones in one step, so that a request is answered by the ones or the others. Cookies are signed by koa, which
 * reads `keys` at every request. test/http/live_keys.test.ts breaks where a release keeps keys otherwise.
 */
import type Provider from 'oidc-provider';
import type { JWK } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import initializeKeystore from 'oidc-provider/lib/helpers/initialize_keystore.js';
import type { CookieSignatures } from '../../lib/cookie_signatures.ts';

/** Of each algorithm the first key signs; all are published, and verify. The first cookie key signs, all verify. */
export function replaceKeys(provider: Provider, jwks: JWK[], cookieSignatures: CookieSignatures): void {
  initializeKeystore.call(provider, { keys: jwks });
  provider.keys = cookieSignatures;
}
