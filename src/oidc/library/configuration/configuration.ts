/**
 * Cypher's configuration as oidc-provider's. Pure: what it needs of the rest is handed in. Every development default of
 * the library that matters is replaced here or in what is called here.
 */
import type { Configuration, ResponseType } from 'oidc-provider';
import type { OutgoingRequest } from '../../../http/outgoing.ts';
import { cookieNames } from '../../../lib/cookies.ts';
import { accountClaims, claimsByScope, mfaAcr } from '../../claims/claims.ts';
import { corsAllowed, pkceRequired } from '../../clients/policy.ts';
import { existingGrant } from '../../interaction/existing_grant.ts';
import { prompts, promptValues } from '../../interaction/prompts.ts';
import { signedClaims } from '../../requests/signed_claims.ts';
import { standsAfter } from '../../session/signed_in.ts';
import { addRevocationClaims } from '../../tokens/jwt_access_tokens.ts';
import { issuesRefreshToken, revokesGrant } from '../../tokens/policy.ts';
import { isOperatorsWord } from '../client_fetches.ts';
import { takeKept } from '../read_ahead.ts';
import { enabledJWA } from './algorithms.ts';
import { clientConfiguration } from './clients.ts';
import type { ConfigurationDeps } from './deps.ts';
import { features } from './features.ts';
import { ttl } from './ttl.ts';

const responseTypes: ResponseType[] = [
  ...(['code', 'none', 'code id_token', 'code token', 'code id_token token'] as const),
  ...(['id_token', 'id_token token'] as const),
];

export function providerConfiguration(deps: ConfigurationDeps): Configuration {
  const { config, resources, pages, now } = deps;
  return {
    adapter: deps.adapter,
    ...clientConfiguration(config, resources),
    fetch: ((url: string | URL, options?: OutgoingRequest) => deps.fetch(url, options)) as NonNullable<
      Configuration['fetch']
    >,
    jwks: { keys: deps.jwks },
    cookies: cookies(deps),
    interactions: {
      url: (_ctx, interaction) => `/interaction/${interaction.uid}`,
      policy: prompts(config, deps.pairwise),
    },
    findAccount: findAccount(deps.accounts),
    claims: claimsByScope,
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    acrValues: [mfaAcr],
    // A client has `code` unless its entry names others.
    responseTypes,
    allowOmittingSingleRegisteredRedirectUri: false,
    subjectTypes: ['public', 'pairwise'],
    // A stranger must show that a sector is theirs, when they register. The operator's word needs no look at another server,
    // and no start of this one waits for that.
    sectorIdentifierUriValidate: () => !isOperatorsWord(),
    pairwiseIdentifier: async (_ctx, accountId, client) => deps.pairwise(accountId, client),
    discovery: { prompt_values_supported: promptValues(config), ui_locales_supported: ['en'] },
    pkce: { required: pkceRequired },
    clientBasedCORS: corsAllowed,
    loadExistingGrant: existingGrant(deps.consents),
    issueRefreshToken: issuesRefreshToken,
    rotateRefreshToken: true,
    revokeGrantPolicy: revokesGrant,
    // For clients' assertions, which are often `nbf` now by a clock that is a little ahead. Our own tokens are not given
    // these seconds: their stores and tokens/ look at the exact time.
    clockTolerance: 10,
    assertJwtClientAuthClaimsAndHeader: signedClaims(now).assertion,
    conformIdTokenClaims: true,
    enabledJWA,
    formats: { customizers: { jwt: addRevocationClaims as never } },
    renderError: (ctx, out, error) => pages.error(ctx, out, error),
    ttl: ttl(config, resources, now),
    features: features(deps),
  };
}

function cookies({
  config,
  cookieSignatures,
}: Pick<ConfigurationDeps, 'config' | 'cookieSignatures'>): NonNullable<Configuration['cookies']> {
  const secure = config.ISSUER.startsWith('https:');
  const cookie = { httpOnly: true, sameSite: 'lax', secure, overwrite: true } as const;
  return {
    keys: cookieSignatures,
    names: cookieNames(secure),
    // The session's cookie is a PASETO (session/session_cookie.ts): authenticated by itself.
    long: { ...cookie, signed: false },
    short: { ...cookie, signed: true },
  };
}

const findAccount =
  (accounts: ConfigurationDeps['accounts']): NonNullable<Configuration['findAccount']> =>
  async (ctx, id, token) => {
    const account = takeKept('Account', id) ?? (await accounts.byId(id));
    if (!account) return undefined;
    // A login that was completed before everything was ended, and only now comes to its redirect; or what a request that
    // overlapped the end has still written on the strength of one: a code, an approval, a refresh token.
    const { authTime } = (token ?? {}) as { authTime?: number };
    if (!standsAfter(account, ctx.oidc?.session?.loginTs ?? authTime)) return undefined;
    return { accountId: account.id, claims: async () => accountClaims(account) };
  };
