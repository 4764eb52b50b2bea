/**
 * Keeps the token of a link that was opened in this browser. The token moves from the address to a cookie
 * immediately. First the cookie is sent only to the page that explains the link. When the person continues from
 * there, it is sent to the interaction.
 */
import type { Context } from 'koa';
import { lifeSeconds } from '../lifetimes.ts';

export interface LinkCookie {
  /** Keeps the token for the pages below `path`. With undefined, removes it there. */
  keep(ctx: Context, path: string, token: string | undefined): void;
  read(ctx: Context): string | undefined;
  /** Removes it from all paths. */
  forget(ctx: Context): void;
}

/** `page`: the path of the page that explains the link. */
export function createLinkCookie(name: string, page: string, secure: boolean): LinkCookie {
  // Not `overwrite`: that would remove the cookie of the same name for the other path from the answer.
  const base = { httpOnly: true, sameSite: 'lax', secure, signed: false } as const;
  const cookie: LinkCookie = {
    keep(ctx, path, token) {
      ctx.cookies.set(name, token ?? null, { ...base, path, maxAge: lifeSeconds.openedLink * 1000 });
    },
    read: (ctx) => ctx.cookies.get(name),
    forget(ctx) {
      cookie.keep(ctx, page, undefined);
      cookie.keep(ctx, '/interaction', undefined);
    },
  };
  return cookie;
}
