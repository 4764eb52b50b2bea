/** The link for the replacement of a lost authenticator, in the browser that opened it. */
import type { Context } from 'koa';
import type { AuthenticatorReset, AuthenticatorResets } from '../accounts/authenticator_resets.ts';
import type { LinkCookie } from './link_cookie.ts';

export type OpenedReset = AuthenticatorReset & { token: string };

export interface ResetLinks {
  cookie: LinkCookie;
  /**
   * The link that was opened in this browser, while it is valid. Otherwise undefined, and the answer removes the
   * cookie, unless it is an error.
   */
  opened(ctx: Context): Promise<OpenedReset | undefined>;
}

export function createResetLinks(
  resets: Pick<AuthenticatorResets, 'byToken'>,
  cookie: LinkCookie,
): ResetLinks {
  return {
    cookie,
    async opened(ctx) {
      const token = cookie.read(ctx);
      const reset = token === undefined ? undefined : await resets.byToken(token);
      if (token !== undefined && !reset) cookie.forget(ctx);
      return reset && token ? { ...reset, token } : undefined;
    },
  };
}
