/** What the pages that oidc-provider asks for have in common. */
import type { Context } from 'koa';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { contentSecurityPolicy } from '../../http/headers.ts';
import type { FormPost } from '../library/routes/response_modes.ts';

export interface Pages {
  error(
    ctx: KoaContextWithOIDC,
    error: { error: string; error_description?: string | undefined },
    cause: Error,
  ): Promise<void>;
  logout(ctx: KoaContextWithOIDC, xsrf: string): Promise<void>;
  loggedOut(ctx: KoaContextWithOIDC): Promise<void>;
  /** Sends the browser on after a form; `target`: where that ends. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
  formPost: FormPost;
  /** Asks for a device's code; `problem` says why again. */
  userCode(ctx: KoaContextWithOIDC, xsrf: string, problem: Error | undefined): Promise<void>;
  /** Asks whether the device is the person's own. */
  userCodeFound(ctx: KoaContextWithOIDC, xsrf: string, code: FoundUserCode): Promise<void>;
  deviceConnected(ctx: KoaContextWithOIDC): Promise<void>;
}

/** What a person has entered the code of. */
export interface FoundUserCode {
  userCode: string;
  client: Client;
  /** The address that the device asked from. */
  address: string;
}

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
