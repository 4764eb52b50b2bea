/**
 * Cypher's configuration as oidc-provider's. Pure: what it needs of the rest is handed in. Every development default of
 * the library that matters is replaced here or in policy.ts.
 */
import type { Context } from 'koa';
import type {
  Client,
  Configuration,
  JWK,
  KoaContextWithOIDC,
  ResourceServer,
  ResponseType,
} from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Accounts } from '../../accounts/accounts.ts';
import type { Config } from '../../config/load.ts';
import type { Consents } from '../../consents/consents.ts';
import type { OutgoingRequest } from '../../http/outgoing.ts';
import type { CookieSignatures } from '../../lib/cookie_signatures.ts';
import { cookieNames } from '../../lib/cookies.ts';
import { lifeSeconds } from '../../lifetimes.ts';
import { accountClaims, checkClaimsParameter, claimsByScope, mfaAcr } from '../claims/claims.ts';
import { accountClient } from '../clients/account_client.ts';
import { mutualTls } from '../clients/client_certificates.ts';
import { ownNames } from '../clients/client_names.ts';
import { fapiProfile, holdToFapi } from '../clients/fapi.ts';
import { forwardAuthClients } from '../clients/forward_auth_clients.ts';
import type { Pairwise } from '../clients/pairwise.ts';
import { checkStranger, mayOmitPkce, registrationFeatures } from '../clients/registration.ts';
import {
  corsAllowed,
  existingGrant,
  issuesRefreshToken,
  mayIntrospect,
  mayRevoke,
  pkceRequired,
  prompts,
  promptValues,
  revokesGrant,
} from '../interaction/policy.ts';
import { type CibaDeps, ciba } from '../polled/ciba.ts';
import { richAuthorizationRequests } from '../requests/authorization_details.ts';
import { checkRequestUris } from '../requests/request_uris.ts';
import { signedClaims } from '../requests/signed_claims.ts';
import { signOutByHint } from '../session/sign_out.ts';
import { standsAfter } from '../session/signed_in.ts';
import type { AnonymousForms } from './anonymous_forms.ts';
import { type ClientFetch, isOperatorsWord } from './client_fetches.ts';
import { addRevocationClaims, jwtAccessTokenAlg } from './jwt_access_tokens.ts';
import { takeKept } from './read_ahead.ts';
import type { FormPost } from './response_modes.ts';

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

export interface ConfigurationDeps {
  config: Config;
  accounts: Pick<Accounts, 'byId' | 'parseUsername' | 'idOf'>;
  adapter: Configuration['adapter'];
  jwks: JWK[];
  cookieSignatures: CookieSignatures;
  /** 32 bytes from which DPoP nonces are made. */
  dpopNonceKey: Buffer;
  pairwise: Pairwise;
  consents: Pick<Consents, 'of'>;
  pages: Pages;
  anonymousForms: AnonymousForms;
  /** Keeps what a client is to be sent once a person has answered its request. */
  holdPing: CibaDeps['holdPing'];
  waitingFor: CibaDeps['waitingFor'];
  /** What the provider asks of apps' addresses: keys, sector identifiers, metadata documents, logout. */
  fetch: ClientFetch;
  now: () => number;
}

const responseTypes: ResponseType[] = [
  ...(['code', 'none', 'code id_token', 'code token', 'code id_token token'] as const),
  ...(['id_token', 'id_token token'] as const),
];
/** What an ID token, userinfo, an introspection or an authorization response is signed with: there is a key for each. */
const signingAlgs = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
/** What a client may sign with. */
const clientAlgs = ['ES256', 'PS256', 'EdDSA', 'Ed25519', 'RS256'] as const;

export function providerConfiguration(deps: ConfigurationDeps): Configuration {
  const { config, accounts, pages, now } = deps;
  const secure = config.ISSUER.startsWith('https:');
  const cookie = { httpOnly: true, sameSite: 'lax', secure, overwrite: true } as const;
  const seconds = () => Math.floor(now() / 1000);
  const claims = signedClaims(now);
  return {
    adapter: deps.adapter,
    // All others are found in the registry (models/client.ts).
    clients: [
      accountClient(config.ISSUER),
      ...(config.forwardAuth ? forwardAuthClients(config.ISSUER, config.forwardAuth) : []),
    ] as NonNullable<Configuration['clients']>,
    clientDefaults: {
      grant_types: ['authorization_code'],
      // A logout without `sid` would end all of a person's sessions at the app, also those of other browsers.
      backchannel_logout_session_required: true,
    },
    fetch: ((url: string | URL, options?: OutgoingRequest) => deps.fetch(url, options)) as NonNullable<
      Configuration['fetch']
    >,
    extraClientMetadata: {
      properties: ['first_party', 'require_pkce', 'fapi', 'claims', 'request_uris'],
      validator(ctx, name, value, metadata) {
        // There is a request where a client registers itself, and none where the operator's are read.
        if (ctx && name === 'first_party')
          checkStranger(metadata, {
            withoutPkce: mayOmitPkce(ctx),
            resources: config.resources,
            ownNames: ownNames(config.ISSUER),
          });
        checkRequestUris(name, value);
        holdToFapi(ctx, name, value, metadata);
      },
    },
    jwks: { keys: deps.jwks },
    cookies: {
      keys: deps.cookieSignatures,
      names: cookieNames(secure),
      // The session's cookie is a PASETO (session_cookie.ts): authenticated by itself.
      long: { ...cookie, signed: false },
      short: { ...cookie, signed: true },
    },
    interactions: {
      url: (_ctx, interaction) => `/interaction/${interaction.uid}`,
      policy: prompts(config, deps.pairwise),
    },
    async findAccount(ctx, id, token) {
      const account = takeKept('Account', id) ?? (await accounts.byId(id));
      if (!account) return undefined;
      // A login that was completed before everything was ended, and only now comes to its redirect; or what a request that
      // overlapped the end has still written on the strength of one: a code, an approval, a refresh token.
      const { authTime } = (token ?? {}) as { authTime?: number };
      if (!standsAfter(account, ctx.oidc?.session?.loginTs ?? authTime)) return undefined;
      return { accountId: account.id, claims: async () => accountClaims(account) };
    },
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
    clientAuthMethods: [
      ...([
        'client_secret_basic',
        'client_secret_post',
        'client_secret_jwt',
        'private_key_jwt',
        'none',
      ] as const),
      ...(config.CLIENT_CERTIFICATE_HEADER ? (['self_signed_tls_client_auth'] as const) : []),
      ...(config.CLIENT_CERTIFICATE_HEADER && config.CLIENT_CA ? (['tls_client_auth'] as const) : []),
    ],
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
    assertJwtClientAuthClaimsAndHeader: claims.assertion,
    conformIdTokenClaims: true,
    enabledJWA: {
      idTokenSigningAlgValues: signingAlgs,
      userinfoSigningAlgValues: signingAlgs,
      introspectionSigningAlgValues: signingAlgs,
      authorizationSigningAlgValues: signingAlgs,
      clientAuthSigningAlgValues: ['HS256', ...clientAlgs],
      requestObjectSigningAlgValues: clientAlgs,
      dPoPSigningAlgValues: clientAlgs.filter((alg) => alg !== 'RS256'),
    },
    formats: { customizers: { jwt: addRevocationClaims as never } },
    renderError: (ctx, out, error) => pages.error(ctx, out, error),
    ttl: {
      AccessToken: (_ctx, token) => resourceSeconds(config, token.aud) ?? lifeSeconds.accessToken,
      ClientCredentials: (_ctx, token) => resourceSeconds(config, token.aud) ?? lifeSeconds.accessToken,
      AuthorizationCode: lifeSeconds.authorizationCode,
      DeviceCode: lifeSeconds.deviceCode,
      BackchannelAuthenticationRequest: (_ctx, request) => requestSeconds(request.params),
      RegistrationAccessToken: lifeSeconds.registrationAccessToken,
      // Made at any time of a session, used by families that begin at its very end.
      Grant: config.SESSION_LIFETIME_SECONDS + lifeSeconds.authorizationCode + lifeSeconds.refreshFamily,
      IdToken: lifeSeconds.idToken,
      Interaction: lifeSeconds.interaction,
      RefreshToken: (_ctx, token) =>
        Math.max(
          1,
          Math.min(
            lifeSeconds.refreshIdle,
            (token.iiat ?? seconds()) + lifeSeconds.refreshFamily - seconds(),
          ),
        ),
      // One without an account only carries a sign-out's question.
      Session: (_ctx, session) =>
        session.accountId === undefined
          ? lifeSeconds.anonymousSession
          : Math.max(
              1,
              Math.min(
                config.SESSION_IDLE_SECONDS,
                (session.loginTs ?? seconds()) + config.SESSION_LIFETIME_SECONDS - seconds(),
              ),
            ),
    },
    features: {
      devInteractions: { enabled: false },
      ...registrationFeatures(config),
      clientIdMetadataDocument: {
        enabled: config.CLIENT_ID_METADATA_DOCUMENTS === 'on',
        ack: 'draft-02',
        cacheDuration: { min: lifeSeconds.shortestDocument, max: lifeSeconds.longestDocument },
      },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: mayIntrospect(config.resources) },
      revocation: { enabled: true, allowedPolicy: mayRevoke },
      pushedAuthorizationRequests: { enabled: true },
      userinfo: { enabled: true },
      jwtUserinfo: { enabled: true },
      jwtIntrospection: { enabled: true },
      jwtResponseModes: { enabled: true },
      // Unsigned ones have no algorithm in the list above: they would be worth no more than the query.
      requestObjects: { enabled: true, assertJwtClaimsAndHeader: claims.requestObject },
      claimsParameter: { enabled: true, assertClaimsParameter: checkClaimsParameter },
      // A nonce is offered, for clients whose clock is wrong, and demanded of nobody.
      dPoP: { enabled: true, nonceSecret: deps.dpopNonceKey, requireNonce: () => false },
      mTLS: mutualTls(config, now),
      fapi: { enabled: true, profile: fapiProfile as never },
      richAuthorizationRequests: richAuthorizationRequests(config.resources),
      rpInitiatedLogout: {
        enabled: true,
        async logoutSource(ctx) {
          if (!(await signOutByHint(ctx, deps.pairwise))) await pages.logout(ctx, xsrfOf(deps, ctx));
        },
        postLogoutSuccessSource: (ctx) => pages.loggedOut(ctx),
      },
      backchannelLogout: { enabled: true },
      ...(config.CIBA === 'on' ? { ciba: ciba(deps) } : {}),
      deviceFlow: {
        enabled: true,
        // Eight of twenty consonants, of which no two look alike and no word is made.
        charset: 'base-20',
        mask: '****-****',
        deviceInfo: (ctx) => ({ address: ctx.ip }),
        userCodeInputSource: (ctx, _form, _out, problem) => pages.userCode(ctx, xsrfOf(deps, ctx), problem),
        userCodeConfirmSource: (ctx, _form, client, { address }, userCode) =>
          pages.userCodeFound(ctx, xsrfOf(deps, ctx), { client, address: String(address), userCode }),
        successSource: (ctx) => pages.deviceConnected(ctx),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: async (_ctx, _client, oneOf) => (oneOf?.length ? oneOf : undefined),
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_ctx, audience) => resourceServer(config, audience),
      },
    },
  };
}

/** The secret that a form of the library must bring back. */
function xsrfOf(
  { anonymousForms }: Pick<ConfigurationDeps, 'anonymousForms'>,
  ctx: KoaContextWithOIDC,
): string {
  const secret = anonymousForms.secretOf(ctx);
  if (secret !== undefined) return secret;
  const state = ctx.oidc.session?.state;
  if (typeof state?.secret !== 'string') throw new Error('oidc-provider made no secret for the form');
  return state.secret;
}

/** The client may ask for less time (CIBA Core, section 7.1). */
const requestSeconds = (params: { requested_expiry?: unknown } | undefined): number =>
  Math.min(
    Number(params?.requested_expiry) || lifeSeconds.backchannelRequest,
    lifeSeconds.backchannelRequest,
  );

function resourceSeconds(config: Config, audience: unknown): number | undefined {
  return config.resources.find((resource) => resource.audience === audience)?.token_seconds;
}

function resourceServer(config: Config, audience: string): ResourceServer {
  const resource = config.resources.find((entry) => entry.audience === audience);
  if (!resource) throw new errors.InvalidTarget();
  return {
    audience: resource.audience,
    scope: resource.scopes.join(' '),
    accessTokenTTL: resource.token_seconds,
    // `opaque` is the library's name for "not its own JWT": the form is PASETO, see models/access_token.ts.
    accessTokenFormat: resource.token_format === 'jwt' ? 'jwt' : 'opaque',
    jwt: { sign: { alg: jwtAccessTokenAlg } },
  };
}
