/**
 * Binds a sign-in to the browser in which it began. The library's own cookies have paths and so cannot have the
 * prefix `__Host-`. A sibling domain could plant the cookies of an attacker's sign-in in a victim's browser, and sign
 * the victim in as the attacker. Only this host can set a `__Host-` cookie. Its name contains the sign-in's uid, so
 * its presence is the proof.
 */
import type { Context } from 'koa';
import { lifeSeconds } from '../../lifetimes.ts';

export interface BrowserBinding {
  /** Whether the sign-in began in the browser that sends this Cookie header. */
  holds(cookies: string | undefined, uid: string): boolean;
  /** Sets the cookie of a sign-in that begins. */
  note(ctx: Context, uid: string): void;
  /** Removes the cookie of a sign-in that is over. */
  forget(ctx: Context, uid: string): void;
}

/**
 * How many open sign-ins one browser may have. The oldest are abandoned, so that their cookies never fill a header.
 */
const mostBegun = 12;

/** `prefix`: the prefix of the cookie names. `now`: milliseconds since the epoch. */
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
