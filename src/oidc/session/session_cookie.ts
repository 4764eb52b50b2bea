/**
 * The session cookie as PASETO. oidc-provider reads and writes the bare session id. This middleware encloses it and
 * translates: it opens the cookie of a request (or drops it), and seals the cookie of the answer. It replaces nothing
 * of the library. A PASETO authenticates itself, so the cookie has no second signature.
 */
import type { Middleware } from 'koa';
import type { Tokens } from '../../tokens/tokens.ts';
import { scopeOf } from '../library/request_scope.ts';

export interface SessionCookieDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  /** The cookie's name. */
  name: string;
  /** The longest lifetime of a session. No cookie is valid for longer. */
  lifetimeSeconds: number;
  /** Whose session it is. This is known after oidc-provider has handled the request. */
  subjectOf(ctx: object): { accountId?: string | undefined; uid?: string | undefined };
  now: () => number;
}

/** Makes the middleware. `now`: milliseconds since the epoch. */
export function createSessionCookie({
  tokens,
  name,
  lifetimeSeconds,
  subjectOf,
  now,
}: SessionCookieDeps): Middleware {
  async function seal(id: string, ctx: object): Promise<string> {
    const { accountId, uid } = subjectOf(ctx);
    const issuedAt = Math.floor(now() / 1000);
    return tokens.seal(
      'session',
      { sub: accountId, sid: uid, id },
      { issuedAt, expiresAt: issuedAt + lifetimeSeconds },
    );
  }

  return async function sessionCookie(ctx, next) {
    const cookies = ctx.req.headers.cookie?.split(';').map((part) => part.trim()) ?? [];
    const mine = cookies.filter((part) => part.startsWith(`${name}=`));
    let opened: { token: string; id: string } | undefined;
    if (mine.length > 0) {
      // If there are two, one was planted, for instance by a sibling domain. We cannot know which, so both are
      // dropped.
      const [only] = mine.length === 1 ? mine : [];
      const token = only?.slice(name.length + 1);
      const claims = token === undefined ? undefined : await tokens.open('session', token);
      if (token !== undefined && typeof claims?.id === 'string') opened = { token, id: claims.id };
      const others = cookies.filter((part) => !part.startsWith(`${name}=`));
      if (opened) others.push(`${name}=${opened.id}`);
      ctx.req.headers.cookie = others.join('; ');
    }
    await next();
    const set = ctx.res.getHeader('Set-Cookie');
    if (!set) return;
    const sealed = (Array.isArray(set) ? set : [String(set)]).map(async (line) => {
      const [pair = '', ...attributes] = line.split(';');
      const id = pair.startsWith(`${name}=`) ? pair.slice(name.length + 1) : '';
      if (!id) return [line];
      if (scopeOf(ctx)?.withholdsSessionCookie) return [];
      // The token's key may have been dropped during this request. Do not seal the same session under the new key.
      if (id === opened?.id && !(await tokens.open('session', opened.token))) return [];
      return [[`${name}=${await seal(id, ctx)}`, ...attributes].join(';')];
    });
    ctx.set('Set-Cookie', (await Promise.all(sealed)).flat());
  };
}
