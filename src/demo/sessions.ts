/** The sample relying party's sessions: in memory, behind a random HttpOnly cookie. */
import { randomBytes } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import type { IDToken } from 'openid-client';

export interface Session {
  /** What the answer to a sign-in under way must fit. */
  pending?: { state: string; nonce: string; codeVerifier: string };
  signedIn?: { idToken: string; claims: IDToken; refreshToken?: string };
  /** Access tokens by the resource they are for; '' for none in particular. */
  access: Map<string, string>;
  /** What the last button brought. */
  answers: { url: string; answer: Record<string, unknown> }[];
  problem?: string;
  note?: string;
}

/** `middleware` puts the browser's session into ctx.state.session; `begin` replaces it by an empty one. */
export function createSessions(cookie: string, secure: boolean) {
  const sessions = new Map<string, Session>();

  /** Under a new id, so that what was planted before a sign-in is worth nothing after it. */
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
  /** Ends what the provider knows as `sid`, in whichever browser. */
  function end(sid: string): void {
    for (const [id, { signedIn }] of sessions) if (signedIn?.claims.sid === sid) sessions.delete(id);
  }

  return { begin, end, middleware };
}
