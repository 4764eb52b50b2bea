/** The way in: invitation, password, second factor, consent; and what of it the account page proves people with again. */
import type { Middleware } from 'koa';
import type { AppDeps } from '../app.ts';
import type { Config } from '../config/load.ts';
import { receiveBody } from '../http/forms.ts';
import { pathOf } from '../http/rate_limit.ts';
import { createInvitationRoutes } from '../interaction/invitation_routes.ts';
import { createInvited } from '../interaction/invited.ts';
import { auditEventOf } from '../interaction/outcomes.ts';
import { createPages } from '../interaction/pages.ts';
import { createPasswords } from '../interaction/password.ts';
import { createInteractionRoutes } from '../interaction/routes.ts';
import { createSecondFactor } from '../interaction/second_factor.ts';
import { createStandings } from '../interaction/standing.ts';
import { createAdmission } from '../lib/admission.ts';
import { countTogether } from '../lib/log.ts';
import { accountSignInPath } from '../oidc/account_client.ts';
import { describeDetails } from '../oidc/authorization_details.ts';
import { describeScopes } from '../oidc/scopes.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';

export type SignIn = ReturnType<typeof wireSignIn>;

export function wireSignIn(
  config: Config,
  { database, audit, metrics, log }: AppDeps,
  foundations: Foundations,
  { views, secureCookies, sameOriginOnly, addressLimit }: PageParts,
  { interactions }: Pick<WiredProvider, 'interactions'>,
) {
  const { accounts, devices, ephemeral, failures, invitations, opaque, sealer, steps, totp } = foundations;
  const tellRefused = countTogether((count) =>
    log.warn({ count }, 'starts of sign-ins were refused: more people came than this server can serve'),
  );
  // Some 150 ms of OPAQUE: who would wait longer, with the queue still growing, would wait in vain.
  const admission = createAdmission(64, () => {
    metrics.overloaded.inc();
    tellRefused();
  });
  const passwords = createPasswords({
    accounts,
    invitations,
    opaque,
    failures,
    devices,
    ephemeral,
    sealer,
  });
  const secondFactor = createSecondFactor({ accounts, totp, failures, devices, steps, database });
  const invited = createInvited({
    invitations,
    accounts,
    signUpIsOpen: config.SIGN_UP === 'open',
    secureCookies,
  });
  /** Before any work is done for what will be refused, and after its body has come: who sends slowly takes no place. */
  const admit: Middleware = (ctx, next) => {
    if (ctx.method !== 'POST' || !pathOf(ctx).endsWith('/init')) return next();
    admission.check();
    return receiveBody(ctx).then(() => admission.admit(next));
  };
  return {
    admit,
    passwords,
    secondFactor,
    routes: createInteractionRoutes({
      interactions,
      invited,
      standings: createStandings({ interactions, accounts, steps, secureCookies }),
      pages: createPages({
        render: views.render,
        accounts,
        totp,
        secondFactor,
        invited,
        describeScopes,
        describeDetails: describeDetails(config.resources),
      }),
      passwords,
      secondFactor,
      devices,
      sameOriginOnly,
      addressLimit,
      onOutcome(outcome) {
        metrics.steps.inc({ step: outcome.step, outcome: outcome.outcome });
        if (outcome.amr) metrics.logins.inc();
        const event = auditEventOf(outcome);
        if (event) audit.record(event);
      },
    }),
    invitationRoutes: createInvitationRoutes({
      invited,
      render: views.render,
      signUpPath: accountSignInPath(config.ISSUER, 'login'),
      sameOriginOnly,
    }),
  };
}
