/**
 * Turns Cypher's configuration into oidc-provider's. Pure: everything else is an argument. Every development default
 * of the library that matters is replaced here or in a function that is called here.
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

/** The complete configuration of oidc-provider. */
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
    // A client may use only `code` unless its entry lists other response types.
    responseTypes,
    allowOmittingSingleRegisteredRedirectUri: false,
    subjectTypes: ['public', 'pairwise'],
    // A self-registered client must prove that it belongs to its sector. The operator's clients are trusted: a check
    // would make the start of this server depend on another one.
    sectorIdentifierUriValidate: () => !isOperatorsWord(),
    pairwiseIdentifier: async (_ctx, accountId, client) => deps.pairwise(accountId, client),
    discovery: { prompt_values_supported: promptValues(config), ui_locales_supported: ['en'] },
    pkce: { required: pkceRequired },
    clientBasedCORS: corsAllowed,
    loadExistingGrant: existingGrant(deps.consents, now),
    issueRefreshToken: issuesRefreshToken,
    rotateRefreshToken: true,
    revokeGrantPolicy: revokesGrant,
    // For client assertions: their `nbf` is often the present second of a clock that is slightly ahead. Our own
    // tokens are checked without this tolerance, by their stores and by src/tokens.
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
    // The session cookie needs no signature: it is a PASETO, which authenticates itself.
    long: { ...cookie, signed: false },
    short: { ...cookie, signed: true },
  };
}

const findAccount =
  (accounts: ConfigurationDeps['accounts']): NonNullable<Configuration['findAccount']> =>
  async (ctx, id, token) => {
    const account = takeKept('Account', id) ?? (await accounts.byId(id));
    if (!account) return undefined;
    // The account may have been signed out everywhere since this login. That refuses a login whose redirect comes
    // later, and a code, approval or refresh token that an overlapping request has still written for that login.
    const { authTime } = (token ?? {}) as { authTime?: number };
    if (!standsAfter(account, ctx.oidc?.session?.loginTs ?? authTime)) return undefined;
    return { accountId: account.id, claims: async () => accountClaims(account) };
  };
