/** The way in: invitation, password, second factor, consent; and what of it the account page proves people with again. */
import type { AppDeps } from '../app.ts';
import { createPasswords } from '../authentication/password.ts';
import { createSecondFactor } from '../authentication/second_factor.ts';
import { createSignUp } from '../authentication/sign_up.ts';
import type { Config } from '../config/load.ts';
import { moveOn } from '../http/onward.ts';
import { createInvited } from '../interaction/invited.ts';
import { createLinkCookie } from '../interaction/link_cookie.ts';
import { createLinkRoutes } from '../interaction/link_routes.ts';
import { auditEventOf, unansweredEvent } from '../interaction/outcomes.ts';
import { createPages } from '../interaction/pages.ts';
import { createResetLinks } from '../interaction/reset_links.ts';
import { createInteractionRoutes } from '../interaction/routes.ts';
import { createStandings } from '../interaction/standing.ts';
import { cookieNames } from '../lib/cookies.ts';
import { type AppError, invitationEnded, resetEnded } from '../lib/errors.ts';
import { describeScopes } from '../oidc/claims/scopes.ts';
import { accountSignInPath } from '../oidc/clients/account_client.ts';
import { describeDetails } from '../oidc/requests/authorization_details.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';
import { createSignInEvents } from './sign_in_events.ts';

export type SignIn = ReturnType<typeof wireSignIn>;

export function wireSignIn(
  config: Config,
  deps: AppDeps,
  foundations: Foundations,
  { views, secureCookies, sameOriginOnly, admission, addressLimit, makingLimit }: PageParts,
  {
    interactions,
    signedIn,
    trail,
    addressOf,
  }: Pick<WiredProvider, 'interactions' | 'signedIn' | 'trail' | 'addressOf'>,
) {
  const { database, metrics, now } = deps;
  const recordEvent = createSignInEvents(deps);
  const { accounts, buckets, ephemeral, failures, invitations, knownBrowsers, opaque } = foundations;
  const { isNews, resets, sealer, stepTokens, totp } = foundations;
  const names = cookieNames(secureCookies);
  const dropped = { httpOnly: true, sameSite: 'lax', secure: secureCookies, signed: false } as const;
  const passwords = createPasswords({
    accounts,
    opaque,
    failures,
    buckets,
    ephemeral,
    sealer,
    onUnanswered(attempt) {
      metrics.steps.inc({ step: attempt.step, outcome: 'unanswered' });
      recordEvent(unansweredEvent(attempt));
    },
    now,
  });
  const secondFactor = createSecondFactor({
    accounts,
    totp,
    failures,
    buckets,
    stepTokens,
    resets,
    database,
  });
  const invited = createInvited({
    invitations,
    accounts,
    signUpIsOpen: config.SIGN_UP === 'open',
    cookie: createLinkCookie(names.invitation, '/invitation', secureCookies),
  });
  const resetLinks = createResetLinks(
    resets,
    createLinkCookie(names.authenticatorReset, '/authenticator-reset', secureCookies),
  );
  return {
    recordEvent,
    passwords,
    secondFactor,
    routes: createInteractionRoutes({
      interactions,
      signedIn,
      trail,
      invited,
      standings: createStandings({ interactions, accounts, stepTokens, resetLinks, secureCookies }),
      pages: createPages({
        render: views.render,
        accounts,
        totp,
        secondFactor,
        invited,
        clientOf: interactions.clientOf,
        addressOf,
        describeScopes,
        describeDetails: describeDetails(config.resources),
      }),
      passwords,
      signUp: createSignUp({ accounts, invitations, opaque, ephemeral }),
      secondFactor,
      knownBrowsers,
      sameOriginOnly,
      moveOn: (ctx, to) => moveOn(ctx, views.render, to),
      admission,
      addressLimit,
      makingLimit,
      onOutcome(outcome) {
        metrics.steps.inc({ step: outcome.action, outcome: outcome.outcome });
        if (outcome.amr) metrics.logins.inc();
        const event = auditEventOf(outcome);
        if (event && isNews(event, outcome)) recordEvent(event);
      },
    }),
    linkRoutes: [
      createLinkRoutes(
        {
          path: '/invitation',
          cookie: invited.cookie,
          opened: async (ctx) => (await invited.invitation(ctx)) ?? ended(invitationEnded()),
          page: ({ username, expiresAt }) =>
            views.render('invitation', { username, expires: expiresAt.toISOString() }),
          next: async () => accountSignInPath(config.ISSUER, { prompt: 'login' }),
        },
        sameOriginOnly,
      ),
      createLinkRoutes(
        {
          path: '/authenticator-reset',
          cookie: resetLinks.cookie,
          opened: async (ctx) => (await resetLinks.opened(ctx)) ?? ended(resetEnded()),
          page: ({ username, expiresAt }) =>
            views.render('authenticator_reset', { username, expires: expiresAt.toISOString() }),
          async next(ctx, { accountId, username }) {
            // Its session ends with the old authenticator, and a sign-in that began in it could not be completed then.
            if ((await signedIn(ctx))?.account.id === accountId)
              ctx.cookies.set(names.session, null, dropped);
            return accountSignInPath(config.ISSUER, { prompt: 'login', login_hint: username });
          },
        },
        sameOriginOnly,
      ),
    ],
  };
}

function ended(error: AppError): never {
  throw error;
}
