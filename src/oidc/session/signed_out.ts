/**
 * Which session has just ended in this browser, for the page after the sign-out: the session and its cookie are gone by
 * then. A signed cookie of five minutes names it; whoever has it learns which apps were told.
 */
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { lifeSeconds } from '../../lifetimes.ts';

export interface SignedOut {
  read(ctx: KoaContextWithOIDC): string | undefined;
  /** Leaves the cookie with the answer to every sign-out of this provider. */
  noteAt(provider: Provider): void;
}

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
