/**
 * The session cookie as PASETO. oidc-provider reads and writes its session's bare id; this middleware stands around it
 * and translates: what comes from the browser is opened (or dropped), what goes to it is sealed. Nothing of the library
 * is replaced. The cookie is authenticated by the token itself, so it carries no second signature.
 */
import type { Middleware } from 'koa';
import type { Tokens } from '../../tokens/tokens.ts';
import { scopeOf } from '../library/request_scope.ts';

export interface SessionCookieDeps {
  tokens: Pick<Tokens, 'seal' | 'open'>;
  /** The cookie's name. */
  name: string;
  /** The longest that a session may last: no cookie is good for longer. */
  lifetimeSeconds: number;
  /** Whose session it is: known once oidc-provider has handled the request. */
  subjectOf(ctx: object): { accountId?: string | undefined; uid?: string | undefined };
  now: () => number;
}

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
      // Two of them: one was planted, for instance from a sibling domain, and nothing tells which.
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
      // Its key may have been dropped since: what that one had opened is not carried over to the key that follows it.
      if (id === opened?.id && !(await tokens.open('session', opened.token))) return [];
      return [[`${name}=${await seal(id, ctx)}`, ...attributes].join(';')];
    });
    ctx.set('Set-Cookie', (await Promise.all(sealed)).flat());
  };
}
