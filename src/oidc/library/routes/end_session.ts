/** Calls the library's own last step of a sign-out, which ends the session and redirects the browser. */
import type { KoaContextWithOIDC } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import { confirm } from 'oidc-provider/lib/actions/end_session.js';

const lastStep: (ctx: KoaContextWithOIDC) => Promise<void> = confirm.at(-1);

/** Signs out, as if the person had confirmed it on the page. */
export async function endSession(ctx: KoaContextWithOIDC): Promise<void> {
  Object.assign(ctx.oidc, { params: { ...ctx.oidc.params, logout: 'yes' } });
  await lastStep(ctx);
}
