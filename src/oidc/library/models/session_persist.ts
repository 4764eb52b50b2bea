/**
 * Override of oidc-provider's Session.persist: where a device's page refuses a visitor without a session, the library
 * writes a secret into the session that it has made up for the error page, finds that this was never stored, and answers
 * 500. What was never stored has no cookie either: there is nothing to keep. test/http/provider_internals.test.ts breaks
 * where a release does otherwise.
 */
import type Provider from 'oidc-provider';

interface SessionModel {
  /** Set once it has been stored. */
  exp?: number | undefined;
  persist(): Promise<string | undefined>;
}

/** Makes a session that was never stored stay so. */
export function persistStoredSessionsOnly(provider: Provider): void {
  const { prototype } = provider.Session as unknown as { prototype: SessionModel };
  const persist = prototype.persist;
  prototype.persist = async function () {
    return this.exp === undefined ? undefined : persist.call(this);
  };
}
