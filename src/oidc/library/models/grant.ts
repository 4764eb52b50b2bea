/**
 * Override of oidc-provider's Grant: it keeps the session that it was given in. A token that others can read does not name
 * its session, so that this is where a sign-out finds it (models/access_token.ts). test/http/provider_internals.test.ts
 * breaks where a release stores grants otherwise.
 */
import type Provider from 'oidc-provider';
import type { Grant } from 'oidc-provider';

/** Makes grants keep `sessionUid`. */
export function keepSessionOfGrants(provider: Provider): void {
  const Grant = provider.Grant as unknown as { IN_PAYLOAD: string[] };
  const kept = [...Grant.IN_PAYLOAD, 'sessionUid'];
  Object.defineProperty(Grant, 'IN_PAYLOAD', { get: () => kept });
}

/** Notes the session, for a grant that has none yet: a new one, or one that an older release has stored. */
export function rememberSession(grant: Grant & { sessionUid?: string }, sessionUid: string): void {
  grant.sessionUid ??= sessionUid;
}
