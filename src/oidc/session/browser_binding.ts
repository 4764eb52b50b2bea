/**
 * A sign-in is bound to the browser in which it was begun. The library's own cookies have paths, so that a sibling domain could
 * plant those of an attacker's sign-in in somebody's browser, and sign them in as the attacker. A cookie with the prefix
 * `__Host-` nobody else can plant, and its name says which sign-in it is for: that it is there is the proof.
 */
import type { Context } from 'koa';
import { lifeSeconds } from '../../lifetimes.ts';

export interface BrowserBinding {
  /** Whether the sign-in was begun in the browser that sends this Cookie header. */
  holds(cookies: string | undefined, uid: string): boolean;
  note(ctx: Context, uid: string): void;
  forget(ctx: Context, uid: string): void;
}

/** How many sign-ins one browser may have begun; the oldest are given up, so that their cookies never fill a header. */
const mostBegun = 12;

/** `prefix`: of the cookies' names. `now`: milliseconds since the epoch. */
export function createBrowserBinding(prefix: string, secure: boolean, now: () => number): BrowserBinding {
  const options = { httpOnly: true, sameSite: 'lax', secure, signed: false, path: '/' } as const;
  const nameOf = (uid: string) => `${prefix}${uid.slice(0, 16)}`;
  const begun = (cookies = '') =>
    cookies.split(';').flatMap((part) => {
      const [name = '', value = ''] = part.trim().split('=');
      return name.startsWith(prefix) ? [{ name, at: Number(value) || 0 }] : [];
    });
  return {
    holds: (cookies, uid) => begun(cookies).some(({ name }) => name === nameOf(uid)),
    note(ctx, uid) {
      const old = begun(ctx.get('cookie')).sort((one, other) => other.at - one.at);
      for (const { name } of old.slice(mostBegun - 1)) ctx.cookies.set(name, null, options);
      const maxAge = lifeSeconds.interaction * 1000;
      ctx.cookies.set(nameOf(uid), String(Math.floor(now() / 1000)), { ...options, maxAge });
    },
    forget: (ctx, uid) => void ctx.cookies.set(nameOf(uid), null, options),
  };
}
