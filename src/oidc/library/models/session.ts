/**
 * oidc-provider's Session: a sign-on in one browser, stored by src/sessions. The overrides make sure that a lost
 * answer or a crash does not sign an honest person out.
 *
 * - `resetIdentifier`: the library changes the session's id after each page, even after a consent. The old cookie is
 *   then invalid immediately, and a browser that did not receive the new one (a 503, a cut connection) is signed out.
 *   A new id protects against session fixation, which needs a change of the person. So here only a login changes the
 *   id.
 * - `loginAccount`: the answer to the consent page contains the login before it, and the library applies that login
 *   again. Another tab may have signed in since. So a login is applied only if it is later than the session's.
 * - `save`: after a login the library destroys the session under its old id and stores it under the new one. A crash
 *   in between would lose it. Our store moves it in one statement, so nothing is destroyed first.
 * - `persist`: if the device page refuses a visitor without a session, the library puts a secret into a temporary
 *   session for the error page, cannot persist that session, and answers 500. It was never stored and has no cookie,
 *   so `persist` does nothing.
 */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
import type { Adapter, AdapterPayload } from 'oidc-provider';
import { cookieNames } from '../../../lib/cookies.ts';
import { AppError } from '../../../lib/errors.ts';
import type { SeenFrom, SessionPayload } from '../../../sessions/session.ts';
import { takeKept } from '../read_ahead.ts';
import { currentScope, type RequestScope } from '../request_scope.ts';
import type { Stores } from '../stores.ts';
import { modelOf } from './model.ts';
import { refuseSecondAnswer } from './pushed_request.ts';

interface Login {
  accountId?: string | undefined;
  loginTs?: number | undefined;
}

interface SessionModel extends Login {
  oldId?: string | undefined;
  /** Set once it has been stored. */
  exp?: number | undefined;
  loginAccount(details: Login): void;
  resetIdentifier(): void;
  save(ttlSeconds: number): Promise<string>;
  persist(): Promise<string | undefined>;
}

/** Replaces the methods of the model on this provider. */
export function overrideSession(provider: Provider): void {
  const { prototype } = modelOf<{ prototype: SessionModel }>(provider, 'Session');
  const { loginAccount, resetIdentifier, save, persist } = prototype;
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
  prototype.persist = async function () {
    return this.exp === undefined ? undefined : persist.call(this);
  };
}

/** The session of this browser, for code outside the library's routes. */
export const presentSession = (provider: Provider, ctx: Context): ReturnType<typeof provider.Session.get> =>
  // The library's types require its own context, but of any other it reads only the cookies.
  provider.Session.get(ctx as never);

export const sessionAdapter = ({
  sessions,
  revocations,
}: Pick<Stores, 'sessions' | 'revocations'>): Partial<Adapter> => ({
  /** Writes the session together with the gathered writes of an authorization. The library saves the session last. */
  async upsert(_id, payload, expiresIn = 0) {
    const scope = currentScope();
    const saving = sessions.save(
      payload as SessionPayload,
      expiresIn,
      scope ? seenFrom(scope) : {},
      scope?.takeGathered() ?? [],
    );
    const outcome = await saving.catch(refuseSecondAnswer);
    if (outcome === 'saved' || !scope) return;
    // The cookie would name a session that is not stored, and replace the one that the browser may have by now.
    scope.withholdsSessionCookie = true;
    // If the person was signed out while the app was being authorized, the app must not get its code or tokens.
    if (outcome === 'refused' && scope.isAuthorization) throw signedOut();
  },
  find: async (id) => (await sessions.byId(id)) as AdapterPayload | undefined,
  findByUid: async (uid) =>
    (takeKept('Session', uid) ?? (await sessions.byUid(uid))) as AdapterPayload | undefined,
  destroy: (id) => revocations.endSessionById(id),
});

const signedOut = (): AppError =>
  new AppError(
    'sign_in_required',
    'You were signed out in the meantime. Go back to the app and sign in again.',
  );

/** Where the request comes from. */
function seenFrom({ ctx }: RequestScope): SeenFrom {
  const { device } = cookieNames(ctx.secure);
  // The cookie is the id of the known browser, a dot, and a proof that belongs to the account.
  return {
    address: ctx.ip,
    userAgent: ctx.get('user-agent'),
    device: ctx.cookies.get(device)?.split('.')[0],
  };
}
