/** What the pages that oidc-provider asks for have in common. */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { contentSecurityPolicy } from '../../http/headers.ts';

/** `formAction`: where its forms may lead beside this server. */
export function showPage(ctx: KoaContextWithOIDC, html: string, formAction: readonly string[] = []): void {
  ctx.type = 'html';
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Security-Policy', contentSecurityPolicy(formAction));
  ctx.body = html;
}

/** The name of an app as people are shown it; `answerUri`: see AppNames. */
export type NameOf = (client: Client | undefined, answerUri?: string) => Promise<string | undefined>;

/** Where an app's people find it; undefined where nobody has written that down, or it cannot be said now. */
export type AppOf = (client: Client | undefined) => Promise<{ name: string; uri: string } | undefined>;
