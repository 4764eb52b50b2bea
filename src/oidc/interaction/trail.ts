/**
 * Remembers where a sign-in continued after one of its pages: at the next page, or at its app. A cookie holds this,
 * with the page's address as its path. If the browser returns to that page later, for example by its Back button, the
 * server can send it on.
 */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { stateOf, stateText } from '../../lib/formats.ts';
import { lifeSeconds } from '../../lifetimes.ts';

export type Onward = { uid: string } | { clientId: string };

export interface Trail {
  /** Where the sign-in of this page continued. Undefined if the cookie is missing. */
  read(ctx: Context): Onward | undefined;
  /** Makes this provider set the cookie with its answers. */
  noteAt(provider: Provider): void;
}

const resumes = new Set(['resume', 'device_resume']);

/** `name`: of the cookie. `secure`: whether the issuer uses https. */
export function createTrail(name: string, secure: boolean): Trail {
  function note(ctx: KoaContextWithOIDC, onward: Onward): void {
    const uid = ctx.params.uid as string | undefined;
    if (!uid || !resumes.has(ctx.oidc.route)) return;
    ctx.cookies.set(name, Buffer.from(stateText('trail', onward)).toString('base64url'), {
      httpOnly: true,
      sameSite: 'lax',
      secure,
      signed: true,
      path: `/interaction/${uid}`,
      maxAge: lifeSeconds.interaction * 1000,
    });
  }
  return {
    read(ctx) {
      const text = ctx.cookies.get(name, { signed: true });
      return stateOf<Onward>('trail', text && Buffer.from(text, 'base64url').toString());
    },
    noteAt(provider) {
      provider.on('interaction.started', (ctx) => {
        const uid = ctx.oidc.entities.Interaction?.uid;
        if (uid !== undefined) note(ctx, { uid });
      });
      const ended = (ctx: KoaContextWithOIDC) => {
        const clientId = ctx.oidc.client?.clientId;
        if (clientId !== undefined) note(ctx, { clientId });
      };
      provider.on('authorization.success', ended);
      provider.on('authorization.error', ended);
    },
  };
}
