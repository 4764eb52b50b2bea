/**
 * Remembers which session has just ended in this browser, for the page after the sign-out. The session and its cookie
 * are gone by then, so a signed cookie names it for five minutes. Whoever has that cookie can see which apps were
 * notified.
 */
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { lifeSeconds } from '../../lifetimes.ts';

export interface SignedOut {
  /** The uid of the session that has ended. Undefined if the cookie is missing. */
  read(ctx: KoaContextWithOIDC): string | undefined;
  /** Makes this provider set the cookie with the answer to every sign-out. */
  noteAt(provider: Provider): void;
}

/** `name`: of the cookie. `secure`: whether the issuer uses https. */
export function createSignedOut(name: string, secure: boolean): SignedOut {
  const options = { httpOnly: true, sameSite: 'lax', secure, signed: true, overwrite: true } as const;
  return {
    read: (ctx) => ctx.cookies.get(name, { signed: true }),
    noteAt(provider) {
      provider.on('end_session.success', (ctx) => {
        const { session } = ctx.oidc;
        if (!session?.accountId) return;
        ctx.cookies.set(name, session.uid, {
          ...options,
          path: '/session/end',
          maxAge: lifeSeconds.signedOut * 1000,
        });
      });
    },
  };
}
