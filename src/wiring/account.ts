/** The pages at /account: what people see and change of their own sign-in, and the requests that they approve. */
import { createAccess } from '../account/access.ts';
import { createChanges } from '../account/changes.ts';
import { accountEventOf } from '../account/outcomes.ts';
import { createOverview } from '../account/overview.ts';
import { createAccountRoutes } from '../account/routes.ts';
import type { AppDeps } from '../app.ts';
import { createStepUp } from '../authentication/step_up.ts';
import type { Config } from '../config/load.ts';
import { scopeOfClaim } from '../oidc/claims/claims.ts';
import { describeScope, describeScopes } from '../oidc/claims/scopes.ts';
import { accountSignInPath } from '../oidc/clients/account_client.ts';
import type { Foundations } from './foundations.ts';
import type { PageParts } from './page_parts.ts';
import type { WiredProvider } from './provider.ts';
import type { SignIn } from './sign_in.ts';

export function wireAccount(
  config: Config,
  { database, audit, metrics, now }: AppDeps,
  foundations: Foundations,
  { views, secureCookies, sameOriginOnly, admission, addressLimit }: PageParts,
  { interactions, signedIn, approvals }: WiredProvider,
  { passwords, secondFactor, recordEvent }: SignIn,
) {
  const { accounts, ephemeral, isNews, opaque, recoveryCodesLeft, revocations, sessions, stepTokens, totp } =
    foundations;
  const { clientOf } = interactions;
  const access = createAccess({
    sessions,
    grants: foundations.records,
    consents: foundations.consents,
    scopeOfClaim,
    refresh: foundations.refresh,
    revocations,
    audit,
    database,
    now,
  });
  const stepUp = createStepUp({
    passwords,
    secondFactor,
    totp,
    stepTokens,
    accounts,
    query: database.query,
  });
  return createAccountRoutes({
    signedIn,
    signInPath: accountSignInPath(config.ISSUER),
    overview: createOverview({
      access,
      recoveryCodesLeft,
      clientOf,
      describeScope,
      requestsOf: async (accountId) => (await approvals?.waiting(accountId))?.length,
      now,
    }),
    render: views.render,
    access,
    stepUp,
    changes: createChanges({
      accounts,
      opaque,
      secondFactor,
      totp,
      stepUp,
      revocations,
      audit,
      database,
      ephemeral,
    }),
    totp,
    recoveryCodesLeft,
    requests: approvals && {
      approvals,
      clientOf,
      describeScopes,
      sessionOf: sessions.byUid,
      secondFactor,
      totp,
      database,
      signInAgainPath: accountSignInPath(config.ISSUER, { prompt: 'login' }),
    },
    secureCookies,
    sameOriginOnly,
    admission,
    addressLimit,
    onOutcome(outcome) {
      metrics.account.inc({ action: outcome.action, outcome: outcome.outcome });
      const event = accountEventOf(outcome);
      if (event && isNews(event, outcome)) recordEvent(event);
    },
  });
}
