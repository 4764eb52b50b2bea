/**
 * The token of a link that was opened in this browser. It moves from the address to a cookie at once: first for the page that
 * explains the link alone, then, once the person has gone on from there, for the interaction.
 */
import type { Context } from 'koa';
import { lifeSeconds } from '../lifetimes.ts';

export interface LinkCookie {
  /** Keeps the token for the pages below `path`; undefined takes it away there. */
  keep(ctx: Context, path: string, token: string | undefined): void;
  read(ctx: Context): string | undefined;
  /** Takes it away everywhere. */
  forget(ctx: Context): void;
}

/** `page`: the path of the page that explains the link. */
export function createLinkCookie(name: string, page: string, secure: boolean): LinkCookie {
  // Not `overwrite`: it would take the cookie of the same name for the other path out of the answer.
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
