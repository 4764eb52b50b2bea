/**
 * Answers a form after which the browser goes on to an app. Browsers apply the page's `form-action` to every redirect
 * that follows a form, including redirects inside the app, which this server cannot know. So the answer is a page,
 * and that page moves on by GET.
 */
import type { Context } from 'koa';
import { wantsPage } from './errors.ts';
import { contentSecurityPolicy } from './headers.ts';
import type { PageViews } from './views.ts';

/**
 * Sends the browser on to `location` after a form. `target`: where it arrives in the end. If that is an app's own
 * scheme (RFC 8252, section 7.1), the answer is a redirect: browsers open apps only in response to what the person
 * pressed, and no further redirect follows. Scripts receive a redirect too.
 */
export function moveOn(
  ctx: Context,
  render: PageViews['render'],
  { location, target }: { location: string; target: string },
): void {
  ctx.set('Cache-Control', 'no-store');
  if (wantsPage(ctx) && !isAppScheme(target)) {
    ctx.remove('Location');
    ctx.status = 200;
    ctx.type = 'html';
    ctx.set('Content-Security-Policy', contentSecurityPolicy());
    ctx.set('Refresh', `0;url=${location}`);
    ctx.body = render('onward', { location });
  } else {
    ctx.redirect(location);
    ctx.status = 303;
  }
}

/** The `form-action` sources, beside this server, for a page whose forms lead to `target` in the end. */
export function formActionFor(target: string): string[] {
  const protocol = isAppScheme(target) ? URL.parse(target)?.protocol : undefined;
  return protocol === undefined ? [] : [protocol];
}

/** The host of a website's address. Empty for an app's own scheme, because any app may choose any text there. */
export const webHostOf = (uri: string): string => (isAppScheme(uri) ? '' : (URL.parse(uri)?.host ?? ''));

/** Whether the address belongs to an installed app, not to a website. */
const isAppScheme = (uri: string): boolean => !/^https?:/i.test(uri);
