/** Wires the sign-in: invitation, password, second factor, consent. */
import { moveOn } from '../http/onward.ts';
import { createInvited, type Invited } from '../interaction/invited.ts';
import { createLinkCookie } from '../interaction/link_cookie.ts';
import { createLinkRoutes } from '../interaction/link_routes.ts';
import { auditEventOf } from '../interaction/outcomes.ts';
import { createPages } from '../interaction/pages.ts';
import { createResetLinks, type ResetLinks } from '../interaction/reset_links.ts';
import { createInteractionRoutes } from '../interaction/routes.ts';
import { createStandings } from '../interaction/standing.ts';
import { cookieNames } from '../lib/cookies.ts';
import { type AppError, invitationEnded, resetEnded } from '../lib/errors.ts';
import { describeScopes } from '../oidc/claims/scopes.ts';
import { accountSignInPath } from '../oidc/clients/account_client.ts';
import { describeDetails } from '../oidc/requests/authorization_details.ts';
import type { Built } from './built.ts';

/** The pages of an interaction, and those of the links that lead to one, by the first part of their path. */
export function wireSignIn(built: Built) {
  const { config, resources, metrics } = built.ground;
  const { accounts, invitations, knownBrowsers, resets, stepTokens, totp } = built.foundations;
  const { views, secureCookies, sameOriginOnly, admission, addressLimit, makingLimit } = built.parts;
  const { interactions, signedIn, trail, addressOf } = built.provider;
  const { passwords, signUp, secondFactor, signInEvents } = built.authentication;
  const names = cookieNames(secureCookies);
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
    ...wireLinks(built, invited, resetLinks),
    interaction: createInteractionRoutes({
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
        describeDetails: describeDetails(resources.current()),
      }),
      passwords,
      signUp,
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
        signInEvents.ofOutcome(auditEventOf(outcome), outcome);
      },
    }),
  };
}

/** The pages of the links that are sent to people. */
function wireLinks(
  { ground: { config }, parts: { views, secureCookies, sameOriginOnly }, provider: { signedIn } }: Built,
  invited: Invited,
  resetLinks: ResetLinks,
) {
  const session = cookieNames(secureCookies).session;
  const dropped = { httpOnly: true, sameSite: 'lax', secure: secureCookies, signed: false } as const;
  const invitation = createLinkRoutes(
    {
      path: '/invitation',
      cookie: invited.cookie,
      opened: async (ctx) => (await invited.invitation(ctx)) ?? ended(invitationEnded()),
      page: ({ username, expiresAt }) =>
        views.render('invitation', { username, expires: expiresAt.toISOString() }),
      next: async () => accountSignInPath(config.ISSUER, { prompt: 'login' }),
    },
    sameOriginOnly,
  );
  const authenticatorReset = createLinkRoutes(
    {
      path: '/authenticator-reset',
      cookie: resetLinks.cookie,
      opened: async (ctx) => (await resetLinks.opened(ctx)) ?? ended(resetEnded()),
      page: ({ username, expiresAt }) =>
        views.render('authenticator_reset', { username, expires: expiresAt.toISOString() }),
      async next(ctx, { accountId, username }) {
        // This account's session ends when the authenticator is replaced. A sign-in that began in that session could
        // not be completed.
        if ((await signedIn(ctx))?.account.id === accountId) ctx.cookies.set(session, null, dropped);
        return accountSignInPath(config.ISSUER, { prompt: 'login', login_hint: username });
      },
    },
    sameOriginOnly,
  );
  return { invitation, 'authenticator-reset': authenticatorReset };
}

function ended(error: AppError): never {
  throw error;
}
