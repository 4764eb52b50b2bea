/**
 * The answer to a form after which the browser goes on to an app. Browsers hold every redirect that follows a form to the page's
 * `form-action`, those of the app's own callback too, which nobody here knows. So the form is answered with a page, and that
 * page moves on by GET.
 */
import type { Context } from 'koa';
import { wantsPage } from './errors.ts';
import { contentSecurityPolicy } from './headers.ts';
import type { PageViews } from './views.ts';

/**
 * Sends the browser on to `location` after a form. `target`: where it ends. An app's own scheme (RFC 8252, section 7.1) takes a
 * redirect only in answer to what the person has pressed, and nothing follows it: there, as for scripts, it is a redirect.
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

/** What the forms of a page that lead to `target` in the end may lead to, beside this server. */
export function formActionFor(target: string): string[] {
  const protocol = isAppScheme(target) ? URL.parse(target)?.protocol : undefined;
  return protocol === undefined ? [] : [protocol];
}

/** The host of a website's address. Of an app's own scheme it is empty: any app may choose any such text. */
export const webHostOf = (uri: string): string => (isAppScheme(uri) ? '' : (URL.parse(uri)?.host ?? ''));

/** Whether the address is of an installed app and of no website. */
const isAppScheme = (uri: string): boolean => !/^https?:/i.test(uri);
