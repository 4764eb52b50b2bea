/**
 * Wires the pages at /account: what people see and change of their own sign-in, and the requests that they approve.
 */
import { createAccess } from '../account/access.ts';
import { createChanges } from '../account/changes.ts';
import { accountEventOf } from '../account/outcomes.ts';
import { createOverview } from '../account/overview.ts';
import { createAccountRoutes } from '../account/routes.ts';
import { scopeOfClaim } from '../oidc/claims/claims.ts';
import { describeScope, describeScopes } from '../oidc/claims/scopes.ts';
import { accountSignInPath } from '../oidc/clients/account_client.ts';
import type { Built } from './built.ts';

export function wireAccount({ ground, foundations, parts, provider, authentication }: Built) {
  const { config, database, audit, metrics, now } = ground;
  const { accounts, ephemeral, opaque, recoveryCodesLeft, revocations, sessions, totp } = foundations;
  const { views, secureCookies, sameOriginOnly, admission, addressLimit } = parts;
  const { interactions, signedIn, approvals } = provider;
  const { secondFactor, stepUp, signInEvents } = authentication;
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
      signInEvents.ofOutcome(accountEventOf(outcome), outcome);
    },
  });
}
