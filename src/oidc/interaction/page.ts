/** Types and helpers shared by the pages that oidc-provider asks for. */
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
  /** Sends the browser on after a form was posted. `target`: the address where the redirects end. */
  moveOn(ctx: Context, to: { location: string; target: string }): void;
  formPost: FormPost;
  /** Asks for a device's user code. `problem`: why it is asked for again. */
  userCode(ctx: KoaContextWithOIDC, xsrf: string, problem: Error | undefined): Promise<void>;
  /** Asks whether the device is the person's own. */
  userCodeFound(ctx: KoaContextWithOIDC, xsrf: string, code: FoundUserCode): Promise<void>;
  deviceConnected(ctx: KoaContextWithOIDC): Promise<void>;
}

/** The device that belongs to an entered user code. */
export interface FoundUserCode {
  userCode: string;
  client: Client;
  /** The IP address from which the device made its request. */
  address: string;
}

/** Answers with a page. `formAction`: origins or schemes that its forms may lead to besides this server. */
export function showPage(ctx: KoaContextWithOIDC, html: string, formAction: readonly string[] = []): void {
  ctx.type = 'html';
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Security-Policy', contentSecurityPolicy(formAction));
  ctx.body = html;
}

/** The name of an app as pages show it. `answerUri`: see AppNames. */
export type NameOf = (client: Client | undefined, answerUri?: string) => Promise<string | undefined>;

/** The name and address of an app's website. Undefined if no address is registered, or if it cannot be read now. */
export type AppOf = (client: Client | undefined) => Promise<{ name: string; uri: string } | undefined>;
