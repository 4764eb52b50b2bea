/** Grants that need no consent page: what a person has allowed an app before, and what a first-party app requests. */
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Consents } from '../../consents/consents.ts';
import { isFirstParty } from '../clients/policy.ts';
import { grantNeededSeconds } from '../library/configuration/ttl.ts';
import { newGrant, prolong, rememberSession } from '../library/models/grant.ts';
import { type Asked, addRemembered, covers, identityIsProven, redirectUriOf } from './consent.ts';

/** Claims that the library includes without consent. */
const ownClaims = new Set(['sub', 'sid', 'auth_time', 'acr', 'amr', 'iss']);

function askedBy({ oidc }: KoaContextWithOIDC): Asked {
  const scopes = oidc.requestParamScopes;
  const resources = Object.entries(oidc.resourceServers ?? {}).map(
    ([audience, server]) =>
      [audience, new Set([...scopes].filter((scope) => server.scopes.has(scope)))] as const,
  );
  return {
    scopes: oidc.requestParamOIDCScopes,
    claims: new Set([...oidc.requestParamClaims].filter((claim) => !ownClaims.has(claim))),
    resources: new Map(resources),
  };
}

/**
 * oidc-provider's `loadExistingGrant`: finds or makes the session's grant for the client. A first-party client is
 * granted what it requests. Any other client is granted what the person allowed it before and has not withdrawn.
 * `now`: milliseconds since the epoch.
 */
export function existingGrant(consents: Pick<Consents, 'of'>, now: () => number) {
  return async (ctx: KoaContextWithOIDC) => {
    const { oidc } = ctx;
    const { client, session, provider } = oidc;
    if (!client || !session) return undefined;
    const grantId = oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    const existing = grantId ? await provider.Grant.find(grantId) : undefined;
    const { accountId } = session;
    if (!accountId || !oidc.account) return existing;
    const before = JSON.stringify(existing);
    const neededUntil = Math.floor(now() / 1000) + grantNeededSeconds(client);
    const isProlonged = existing !== undefined && prolong(existing, client, neededUntil);
    const unchanged = async () => {
      if (isProlonged) await existing.save();
      return existing;
    };
    const make = () => existing ?? newGrant(provider, accountId, client);
    const asked = askedBy(ctx);
    if (!isFirstParty(client)) {
      // If the consent page is shown in any case, it asks for everything, so nothing remembered is added.
      if ((existing && covers(existing, asked)) || oidc.promptPending('consent')) return unchanged();
      if (!identityIsProven(client, redirectUriOf(ctx))) return unchanged();
      const grant = make();
      if (!addRemembered(grant, asked, await consents.of(accountId, client.clientId))) return unchanged();
      rememberSession(grant, session.uid);
      await grant.save();
      return grant;
    }
    const grant = make();
    rememberSession(grant, session.uid);
    grant.addOIDCScope([...asked.scopes].join(' '));
    grant.addOIDCClaims([...oidc.requestParamClaims]);
    for (const [audience, scopes] of asked.resources) grant.addResourceScope(audience, [...scopes].join(' '));
    if (JSON.stringify(grant) !== before) await grant.save();
    return grant;
  };
}
