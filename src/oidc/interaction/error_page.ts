/** The error page for people. The log has all details under the id that the page shows. */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { mayWorkAgain } from '../../http/errors.ts';
import type { PageViews } from '../../http/views.ts';
import { shown } from '../requests/error_reports.ts';
import type { Pages } from './page.ts';
import { type AppOf, type NameOf, showPage } from './page.ts';

/** What a person can do about an error. The library's own messages are for developers. */
const hints: Record<string, string> = {
  invalid_client:
    'Tell the people who run the app: its client id is not one that is registered here. The log has the one that it has sent.',
  invalid_request: 'The app made a request that cannot be answered. Tell the people who run it.',
  server_error: 'Try again in a moment.',
  temporarily_unavailable: 'Try again in a moment.',
};

interface Words {
  title: string;
  message: string;
  hint?: string | undefined;
  sent?: string | undefined;
}

function wordsFor(
  { oidc }: KoaContextWithOIDC,
  { error: code, error_description: description }: { error: string; error_description?: string | undefined },
  error: Error,
  clientName: string | undefined,
): Words {
  if (error.name === 'SessionNotFound')
    return {
      title: 'This sign-in has expired',
      message: 'It was begun too long ago or in another browser. Go back to the app and sign in again.',
    };
  if (code === 'invalid_redirect_uri' && clientName !== undefined)
    return {
      title: 'The app’s address is not registered',
      message: `${clientName} asked to be answered at this address, which is not one of its own here:`,
      sent: shown(oidc?.params?.redirect_uri),
      hint: 'If you run the app: register this redirect URI, letter for letter, or have the app send the one that is registered. The log has both. If you do not, tell the people who run it.',
    };
  if (code === 'invalid_client' && !oidc?.client)
    return {
      title: 'This app is not registered',
      message: 'The app that sent you here is not known.',
      sent: shown(oidc?.params?.client_id),
      hint: hints.invalid_client,
    };
  return {
    title: 'This request cannot be answered',
    message: `${code}${description ? `: ${description}` : ''}`,
    hint: hints[code],
  };
}

export function errorPage({
  views,
  nameOf,
  appOf,
}: {
  views: PageViews;
  nameOf: NameOf;
  appOf: AppOf;
}): Pick<Pages, 'error'> {
  return {
    async error(ctx, out, error) {
      showPage(
        ctx,
        views.render('error', {
          status: ctx.status,
          ...wordsFor(ctx, out, error, await nameOf(ctx.oidc?.client)),
          id: String(ctx.state.requestId),
          retryAfterSeconds:
            ctx.status === 429 ? Number(ctx.response.get('Retry-After')) || undefined : undefined,
          // A resumed sign-in cannot be tried again: the failed attempt has used its interaction.
          again: mayWorkAgain(ctx) && ctx.oidc?.route !== 'resume',
          app: await appOf(ctx.oidc?.client),
        }),
      );
    },
  };
}
