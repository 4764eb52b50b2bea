/** The pages that oidc-provider asks for: errors of its endpoints, sign-out and signed out. */
import type { Context } from 'koa';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import type { Account, Accounts } from '../../accounts/accounts.ts';
import { accountClientId } from '../../config/schema.ts';
import { mayWorkAgain } from '../../http/errors.ts';
import { contentSecurityPolicy } from '../../http/headers.ts';
import { formActionFor, moveOn } from '../../http/onward.ts';
import type { PageViews, SignedOutApp } from '../../http/views.ts';
import { AppError } from '../../lib/errors.ts';
import { describeScopes } from '../claims/scopes.ts';
import type { AppNames } from '../clients/client_names.ts';
import type { FormPost } from '../library/routes/response_modes.ts';
import { shown } from '../requests/error_reports.ts';
import type { SignedOut } from '../session/signed_out.ts';

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

interface Problem {
  message?: string;
  status?: number;
  wrongGuess?: boolean;
}

const wrongCode = 'This code is wrong, was used before, or has expired.';
const problems: Record<string, Problem> = {
  NoCodeError: { message: 'Enter the code that your device shows.', status: 400 },
  // One answer for all: which codes there were is nobody's business.
  NotFoundError: { message: wrongCode, status: 400, wrongGuess: true },
  ExpiredError: { message: wrongCode, status: 400, wrongGuess: true },
  AlreadyUsedError: { message: wrongCode, status: 400, wrongGuess: true },
  AbortedError: {},
};

/** Why a device's code is asked for (again): the library's words for it are its errors' names. `status`: of the answer. */
function problemOf(error: Error | undefined, status: number): Problem {
  if (!error) return {};
  if (error instanceof AppError) return { message: error.publicMessage };
  const message =
    status >= 500
      ? 'Something went wrong on our side. Try again in a moment.'
      : 'This page has expired. Enter the code again.';
  return problems[error.name] ?? { message };
}

/** What a person is told of an app after the sign-out, by the state of its delivery. */
const answers: Record<string, SignedOutApp['state']> = { delivered: 'signed_out', no_address: 'unaware' };

/** What to do about an error that a person can do something about; the library's own words are for developers. */
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

/** The app that receives a form may send the browser anywhere. */
const anyWebsite = ['https:', 'http:'];

/** The address at which an app takes the person back, as after a sign-out. */
function withState(uri: string, state: unknown): string | undefined {
  const url = URL.parse(uri);
  if (url && typeof state === 'string') url.searchParams.set('state', state);
  return url?.href;
}

export interface ProviderPagesDeps {
  views: PageViews;
  accounts: Pick<Accounts, 'byId'>;
  signedOut: SignedOut;
  nameOf: AppNames;
  /** Where an app's people find it, by what the operator wrote down; undefined where that says nothing. */
  addressOf(clientId: string): Promise<string | undefined>;
  /** The apps of a session that has ended, once each has been told or has had its time. */
  appsAfterSignOut(sessionUid: string): Promise<{ clientId: string; state: string }[]>;
}

export function createProviderPages({
  views,
  accounts,
  signedOut,
  nameOf: nameOfClient,
  addressOf,
  appsAfterSignOut,
}: ProviderPagesDeps): Pages {
  function page(ctx: KoaContextWithOIDC, html: string, formAction: string[] = []): void {
    ctx.type = 'html';
    ctx.set('Cache-Control', 'no-store');
    ctx.set('Content-Security-Policy', contentSecurityPolicy(formAction));
    ctx.body = html;
  }
  const nameOf = async (client: Client | undefined, answerUri?: string): Promise<string | undefined> =>
    client && nameOfClient(client, answerUri);
  const signedIn = async (ctx: KoaContextWithOIDC): Promise<Account | undefined> => {
    const id = ctx.oidc.session?.accountId;
    return id === undefined ? undefined : accounts.byId(id);
  };

  /** An error is told whatever else fails: also while the database cannot say where the app is. */
  async function appOf(client: Client | undefined): Promise<{ name: string; uri: string } | undefined> {
    const uri = client && (await addressOf(client.clientId).catch(() => undefined));
    return uri === undefined ? undefined : { name: (await nameOf(client)) ?? '', uri };
  }

  return {
    async error(ctx, out, error) {
      page(
        ctx,
        views.render('error', {
          status: ctx.status,
          ...wordsFor(ctx, out, error, await nameOf(ctx.oidc?.client)),
          id: String(ctx.state.requestId),
          // The sign-in that comes back from its pages is used up by the attempt.
          again: mayWorkAgain(ctx) && ctx.oidc?.route !== 'resume',
          app: await appOf(ctx.oidc?.client),
        }),
      );
    },
    async logout(ctx, xsrf) {
      const account = await signedIn(ctx);
      const { client, params } = ctx.oidc;
      const target = String(params?.post_logout_redirect_uri ?? '');
      const html = views.render('logout', {
        action: '/session/end/confirm',
        xsrf,
        username: account?.username,
        clientName: await nameOf(client, target),
        stayUri: (await appOf(client))?.uri ?? withState(target, params?.state),
      });
      page(ctx, html, formActionFor(target));
    },
    async formPost(ctx, action, fields) {
      const clientName = await nameOf(ctx.oidc.client, action);
      page(ctx, views.render('form_post', { action, fields, clientName }), anyWebsite);
    },
    moveOn: (ctx, to) => moveOn(ctx, views.render, to),
    async loggedOut(ctx) {
      const { client } = ctx.oidc;
      const sessionUid = signedOut.read(ctx);
      const told = sessionUid === undefined ? [] : await appsAfterSignOut(sessionUid);
      // The account page is an app to the provider, not to people.
      const others = told.filter(({ clientId }) => clientId !== accountClientId);
      const apps = await Promise.all(
        others.map(async ({ clientId, state }) => ({
          name: (await nameOf(await ctx.oidc.provider.Client.find(clientId))) ?? clientId,
          state: answers[state] ?? 'silent',
        })),
      );
      page(ctx, views.render('logout_done', { clientName: await nameOf(client), apps }));
    },
    async userCode(ctx, xsrf, problem) {
      const { message, status, wrongGuess = false } = problemOf(problem, ctx.status);
      if (status !== undefined) ctx.status = status;
      ctx.state.wrongGuess = wrongGuess;
      if (problem?.name === 'AbortedError') return page(ctx, views.render('device_done', { denied: true }));
      page(ctx, views.render('device', { action: '/device', xsrf, error: message }));
    },
    async userCodeFound(ctx, xsrf, { client, userCode, address }) {
      const { scope = '' } = (ctx.oidc.entities.DeviceCode?.params ?? {}) as { scope?: string };
      page(
        ctx,
        views.render('device_confirm', {
          action: '/device',
          xsrf,
          userCode,
          address,
          clientName: (await nameOf(client)) ?? '',
          scopes: describeScopes(scope.split(' ').filter(Boolean)),
        }),
      );
    },
    async deviceConnected(ctx) {
      page(ctx, views.render('device_done', { denied: false, clientName: await nameOf(ctx.oidc.client) }));
    },
  };
}
