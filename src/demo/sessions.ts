/** The sessions of the sample relying party. They are in memory, and an HttpOnly cookie has the random id. */
import { randomBytes } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import type { IDToken } from 'openid-client';

export interface Session {
  /** The values that the answer to a sign-in in progress must match. */
  pending?: { state: string; nonce: string; codeVerifier: string };
  signedIn?: { idToken: string; claims: IDToken; refreshToken?: string };
  /** Access tokens by their resource; '' if a token is for no particular resource. */
  access: Map<string, string>;
  /** The answers to show, after the last button. */
  answers: { url: string; answer: Record<string, unknown> }[];
  problem?: string;
  note?: string;
}

/** `middleware` puts the browser's session into ctx.state.session. `begin` replaces it by an empty one. */
export function createSessions(cookie: string, secure: boolean) {
  const sessions = new Map<string, Session>();

  /** Begins a session with a new id, so that an id that an attacker planted before a sign-in is useless after it. */
  function begin(ctx: Context): Session {
    sessions.delete(ctx.cookies.get(cookie) ?? '');
    const id = randomBytes(24).toString('base64url');
    const session: Session = { access: new Map(), answers: [] };
    sessions.set(id, session);
    ctx.cookies.set(cookie, id, { httpOnly: true, sameSite: 'lax', secure, overwrite: true });
    ctx.state.session = session;
    return session;
  }

  const middleware: Middleware = async (ctx, next) => {
    ctx.state.session = sessions.get(ctx.cookies.get(cookie) ?? '') ?? begin(ctx);
    await next();
  };
  /** Ends the sessions with this `sid` of the provider, in all browsers. */
  function end(sid: string): void {
    for (const [id, { signedIn }] of sessions) if (signedIn?.claims.sid === sid) sessions.delete(id);
  }

  return { begin, end, middleware };
}
