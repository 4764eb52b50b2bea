/**
 * Override of oidc-provider's keystore. The library reads its keys once, when it is built, and has no way to change
 * them. We call its own initialization again: it checks the new keys and replaces the old ones in one step, so a
 * request sees either the old set or the new one. Koa signs the cookies and reads `keys` at every request.
 * test/http/live_keys.test.ts fails if a release keeps its keys in another way.
 */
import type Provider from 'oidc-provider';
import type { JWK } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import initializeKeystore from 'oidc-provider/lib/helpers/initialize_keystore.js';
import type { CookieSignatures } from '../../lib/cookie_signatures.ts';

/**
 * Replaces the keys of a running provider. The first key of each algorithm signs; all are published and verify.
 * The first cookie key signs; all verify. Throws if the library does not accept a key.
 */
export function replaceKeys(provider: Provider, jwks: JWK[], cookieSignatures: CookieSignatures): void {
  initializeKeystore.call(provider, { keys: jwks });
  provider.keys = cookieSignatures;
}
