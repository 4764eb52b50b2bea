/**
 * Where a sign-in went on after one of its pages: to its next page, or back to its app. A cookie at the address of the page
 * says so to a browser that comes back there, by its Back button for example, once what waited there is over.
 */
import type { Context } from 'koa';
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { lifeSeconds } from '../../lifetimes.ts';

export type Onward = { uid: string } | { clientId: string };

export interface Trail {
  /** Where the sign-in of this page went on. */
  read(ctx: Context): Onward | undefined;
  /** Leaves the cookie with the answers of this provider. */
  noteAt(provider: Provider): void;
}

const resumes = new Set(['resume', 'device_resume']);

export function createTrail(name: string, secure: boolean): Trail {
  function note(ctx: KoaContextWithOIDC, onward: Onward): void {
    const uid = ctx.params.uid as string | undefined;
    if (!uid || !resumes.has(ctx.oidc.route)) return;
    ctx.cookies.set(name, Buffer.from(JSON.stringify(onward)).toString('base64url'), {
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
      return text === undefined ? undefined : JSON.parse(Buffer.from(text, 'base64url').toString());
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
