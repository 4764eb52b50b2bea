/**
 * Who may do what at the OAuth endpoints, in place of oidc-provider's development defaults: introspection, revocation,
 * PKCE, refresh tokens, grants without a consent page. Pure but for the grant that a first-party client is given.
 */
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import { interactionPolicy } from 'oidc-provider';
import type { Resource, Settings } from '../../config/schema.ts';
import type { Consents } from '../../consents/consents.ts';
import type { Pairwise } from '../clients/pairwise.ts';
import { rememberSession } from '../library/models/grant.ts';
import { checkRequirements } from '../requests/requirements.ts';
import { type Asked, addRemembered, asksAlways, covers, identityIsProven } from './consent.ts';

interface Issued {
  clientId?: string | undefined;
  aud?: string | string[] | undefined;
}

export const isFirstParty = (client: Client | undefined): boolean => client?.first_party === true;

const isPublic = (client: Client): boolean => client.clientAuthMethod === 'none';

const grantsByPeople = new Set([
  'authorization_code',
  'implicit',
  'refresh_token',
  'urn:ietf:params:oauth:grant-type:device_code',
]);

/**
 * Whether a stranger's client may have these grants: those by which a person at this server decides what it receives. Not a
 * client's own tokens, with which it could call any API; nor requests to people by name.
 */
export const mayBeStrangers = (grantTypes: readonly unknown[]): boolean =>
  grantTypes.every((grant) => grantsByPeople.has(String(grant)));

/**
 * A token is shown to the client it was issued to, and to the API it is meant for: the client that is named with its audience
 * in RESOURCES_FILE. Everybody else sees `{"active":false}` (RFC 7662, section 2.2). A token without an audience is for
 * userinfo: an API that took it would let any app in that a person has once signed in to.
 */
export function mayIntrospect(resources: Resource[]) {
  return (_ctx: KoaContextWithOIDC, client: Client, token: Issued): boolean => {
    if (isPublic(client)) return false;
    if (token.clientId === client.clientId) return true;
    return resources.some(
      ({ audience, client_id }) => audience === token.aud && client_id === client.clientId,
    );
  };
}

/** Only the client that a token was issued to may revoke it (RFC 7009, section 2.1). */
export const mayRevoke = (_ctx: KoaContextWithOIDC, client: Client, token: Issued): boolean =>
  token.clientId === client.clientId;

/** PKCE is required, unless a confidential client's registration says otherwise. */
export const pkceRequired = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  isPublic(client) || client.require_pkce !== false;

/** Pages may call userinfo, and a page app its token endpoint, from the origins that the client is registered with. */
export const corsAllowed = (ctx: KoaContextWithOIDC, origin: string, client: Client): boolean =>
  (ctx.oidc.route === 'userinfo' || isPublic(client)) &&
  (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null');

/** Every client that may use refresh tokens receives one; without `offline_access` it ends at the session's sign-out. */
export const issuesRefreshToken = (_ctx: KoaContextWithOIDC, client: Client): boolean =>
  client.grantTypeAllowed('refresh_token');

/** Sign-out ends the session's grants; at the token and revocation endpoints only the family in question ends. */
export const revokesGrant = (ctx: KoaContextWithOIDC): boolean =>
  ctx.oidc.route !== 'token' && ctx.oidc.route !== 'revocation';

/** What the library never asks consent for. */
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
 * The session's grant for this client. A first-party client is granted what it asks for, without a page; another one what the
 * person allowed it before and has not withdrawn.
 */
export function existingGrant(consents: Pick<Consents, 'of'>) {
  return async (ctx: KoaContextWithOIDC) => {
    const { oidc } = ctx;
    const { client, session, provider } = oidc;
    if (!client || !session) return undefined;
    const grantId = oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    const existing = grantId ? await provider.Grant.find(grantId) : undefined;
    const { accountId } = session;
    if (!accountId || !oidc.account) return existing;
    const make = () => existing ?? new provider.Grant({ accountId, clientId: client.clientId });
    const asked = askedBy(ctx);
    if (!isFirstParty(client)) {
      // Whoever is asked all the same is asked for everything.
      if ((existing && covers(existing, asked)) || oidc.promptPending('consent')) return existing;
      if (!identityIsProven(client, redirectUriOf(ctx))) return existing;
      const grant = make();
      if (!addRemembered(grant, asked, await consents.of(accountId, client.clientId))) return existing;
      rememberSession(grant, session.uid);
      await grant.save();
      return grant;
    }
    const grant = make();
    const before = JSON.stringify(grant);
    rememberSession(grant, session.uid);
    grant.addOIDCScope([...asked.scopes].join(' '));
    grant.addOIDCClaims([...oidc.requestParamClaims]);
    for (const [audience, scopes] of asked.resources) grant.addResourceScope(audience, [...scopes].join(' '));
    if (!existing || JSON.stringify(grant) !== before) await grant.save();
    return grant;
  };
}

const redirectUriOf = ({ oidc }: KoaContextWithOIDC): string | undefined =>
  oidc.params?.redirect_uri as string | undefined;

/** Values of `prompt` (OpenID Connect Core, section 3.1.2.1). */
export const promptValues = (config: Pick<Settings, 'SIGN_UP'>): string[] => [
  'none',
  'login',
  'consent',
  ...ownPrompts(config),
];

/** `create` (Initiating User Registration 1.0) is nothing that an app can ask for where people need an invitation. */
const ownPrompts = ({ SIGN_UP }: Pick<Settings, 'SIGN_UP'>): string[] =>
  SIGN_UP === 'open' ? ['select_account', 'create'] : ['select_account'];

/**
 * The library's prompts, and these differences: what an app demands of the sign-in is checked to the end (requirements.ts);
 * `create` opens the sign-up page and `select_account` the sign-in page, where another account than the present one may be
 * used; a session whose account is gone leads to a login; and an app is asked for again and again where it is one that
 * another may pass for, and not first-party (consent.ts).
 */
export function prompts(config: Pick<Settings, 'SIGN_UP'>, pairwise: Pairwise) {
  const policy = interactionPolicy.base();
  for (const name of ownPrompts(config)) {
    policy.add(new interactionPolicy.Prompt({ name, requestable: true }), 0);
  }
  const login = policy.get('login');
  if (!login) throw new Error('oidc-provider has no login prompt any more');
  login.checks.add(
    new interactionPolicy.Check(
      'account_gone',
      'the account was disabled, or signed out everywhere, after this login',
      'login_required',
      (ctx) => ctx.oidc.session?.accountId !== undefined && ctx.oidc.account === undefined,
    ),
  );
  checkRequirements(login, pairwise);
  const consent = policy.get('consent');
  const native = consent?.checks.get('native_client_prompt');
  if (!consent || !native) throw new Error('oidc-provider has no native_client_prompt check any more');
  native.check = (ctx) => {
    const { client, params, result } = ctx.oidc;
    const settled = !client || isFirstParty(client) || result?.consent || params?.response_type === 'none';
    return !settled && asksAlways(client, redirectUriOf(ctx));
  };
  return policy;
}
