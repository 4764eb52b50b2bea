/**
 * Overrides of what oidc-provider does with a session's identifier, so that no lost answer and no crash signs an honest
 * user out. test/http/provider_internals.test.ts breaks where a release does otherwise.
 *
 * - Session.resetIdentifier: the library takes a new identifier after each page, a consent too. Then the old cookie is
 *   worthless at once, and a browser that the new one has not reached (a 503, a cut connection) is signed out. A new
 *   identifier is there against session fixation, which needs a change of who is signed in: it is kept to logins.
 * - Session.loginAccount: an answer to the consent page brings the login before it along, and the library applies it once
 *   more. Another tab may have signed in since: a login is applied where it is later than what the session has.
 * - Session.save: after a login the library destroys the session under its old id and stores it under the new one; a crash
 *   in between loses it. Our store moves it in one statement (sessions/store.ts), so the destruction is left out.
 */
import type Provider from 'oidc-provider';

interface Login {
  accountId?: string | undefined;
  loginTs?: number | undefined;
}

interface SessionModel extends Login {
  oldId?: string | undefined;
  loginAccount(details: Login): void;
  resetIdentifier(): void;
  save(ttlSeconds: number): Promise<string>;
}

/** Makes a session change its identifier with a login alone, and then at once or not at all. */
export function keepSessionIdentifier(provider: Provider): void {
  const { prototype } = provider.Session as unknown as { prototype: SessionModel };
  const { loginAccount, resetIdentifier, save } = prototype;
  const loggedIn = new WeakSet<SessionModel>();
  prototype.loginAccount = function (details) {
    if (this.accountId === details.accountId && (this.loginTs ?? 0) >= (details.loginTs ?? 0)) return;
    loggedIn.add(this);
    loginAccount.call(this, details);
  };
  prototype.resetIdentifier = function () {
    if (loggedIn.has(this)) resetIdentifier.call(this);
  };
  prototype.save = function (ttlSeconds) {
    delete this.oldId;
    return save.call(this, ttlSeconds);
  };
}
