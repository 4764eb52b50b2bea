/**
 * Override of oidc-provider's Session.save: after a login the library destroys the session under its old id and stores
 * it under the new one, and a crash in between would sign an honest user out. Our store moves a session to its new id
 * in one statement (sessions/store.ts), so the destruction is left out. test/http/provider_internals.test.ts breaks
 * where a release saves sessions otherwise.
 */
import type Provider from 'oidc-provider';

interface SessionModel {
  oldId?: string | undefined;
  save(ttlSeconds: number): Promise<string>;
}

/** Makes the change of a session's identifier atomic. */
export function keepSessionOnNewIdentifier(provider: Provider): void {
  const { prototype } = provider.Session as unknown as { prototype: SessionModel };
  const save = prototype.save;
  prototype.save = function (ttlSeconds) {
    delete this.oldId;
    return save.call(this, ttlSeconds);
  };
}
