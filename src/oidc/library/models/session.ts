/**
 * oidc-provider's Session: the sign-on of a browser, in sessions/. Its overrides make that no lost answer and no crash signs an
 * honest user out.
 *
 * - `resetIdentifier`: the library takes a new identifier after each page, a consent too. Then the old cookie is worthless at
 *   once, and a browser that the new one has not reached (a 503, a cut connection) is signed out. A new identifier is there
 *   against session fixation, which needs a change of who is signed in: it is kept to logins.
 * - `loginAccount`: an answer to the consent page brings the login before it along, and the library applies it once more.
 *   Another tab may have signed in since: a login is applied where it is later than what the session has.
 * - `save`: after a login the library destroys the session under its old id and stores it under the new one; a crash in
 *   between loses it. Our store moves it in one statement (sessions/store.ts), so the destruction is left out.
 * - `persist`: where a device's page refuses a visitor without a session, the library writes a secret into the session that it
 *   has made up for the error page, finds that this was never stored, and answers 500. What was never stored has no cookie
 *   either: there is nothing to keep.
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

/** The session of this browser, for another part of the server. */
export const presentSession = (provider: Provider, ctx: Context): ReturnType<typeof provider.Session.get> =>
  // The library's types want its own context; of ours it reads the cookies alone.
  provider.Session.get(ctx as never);

export const sessionAdapter = ({
  sessions,
  revocations,
}: Pick<Stores, 'sessions' | 'revocations'>): Partial<Adapter> => ({
  /** With what the authorization has made: the library saves the session last. */
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
    // It would name a session that is not stored, in place of the one that the browser may have by now.
    scope.withholdsSessionCookie = true;
    // Whoever was signed out while an app was being authorized must not receive what was made for it.
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
  // Before the dot is the device's id, after it the proof that belongs to the account.
  return {
    address: ctx.ip,
    userAgent: ctx.get('user-agent'),
    device: ctx.cookies.get(device)?.split('.')[0],
  };
}
