/** Which of its features oidc-provider serves, and how. */
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { lifeSeconds } from '../../../lifetimes.ts';
import { checkClaimsParameter } from '../../claims/claims.ts';
import { mutualTls } from '../../clients/client_certificates.ts';
import { fapiProfile } from '../../clients/fapi.ts';
import { registrationFeatures } from '../../clients/registration.ts';
import { ciba } from '../../polled/ciba.ts';
import { richAuthorizationRequests } from '../../requests/authorization_details.ts';
import { signedClaims } from '../../requests/signed_claims.ts';
import { signOutByHint } from '../../session/sign_out.ts';
import { mayIntrospect, mayRevoke } from '../../tokens/policy.ts';
import type { ConfigurationDeps } from './deps.ts';
import { resourceIndicators } from './resources.ts';

type Features = NonNullable<Configuration['features']>;

export function features(deps: ConfigurationDeps): Features {
  const { config, resources, now } = deps;
  const claims = signedClaims(now);
  return {
    devInteractions: { enabled: false },
    ...registrationFeatures(config),
    clientIdMetadataDocument: {
      enabled: config.CLIENT_ID_METADATA_DOCUMENTS === 'on',
      ack: 'draft-02',
      cacheDuration: { min: lifeSeconds.shortestDocument, max: lifeSeconds.longestDocument },
    },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: mayIntrospect(resources) },
    revocation: { enabled: true, allowedPolicy: mayRevoke },
    pushedAuthorizationRequests: { enabled: true },
    userinfo: { enabled: true },
    jwtUserinfo: { enabled: true },
    jwtIntrospection: { enabled: true },
    jwtResponseModes: { enabled: true },
    // Unsigned ones have no algorithm (algorithms.ts): they would be worth no more than the query.
    requestObjects: { enabled: true, assertJwtClaimsAndHeader: claims.requestObject },
    claimsParameter: { enabled: true, assertClaimsParameter: checkClaimsParameter },
    // A nonce is offered, for clients whose clock is wrong, and demanded of nobody.
    dPoP: { enabled: true, nonceSecret: deps.dpopNonceKey, requireNonce: () => false },
    mTLS: mutualTls(config, now),
    fapi: { enabled: true, profile: fapiProfile as never },
    richAuthorizationRequests: richAuthorizationRequests(resources.current()),
    backchannelLogout: { enabled: true },
    ...(config.CIBA === 'on' ? { ciba: ciba(deps) } : {}),
    resourceIndicators: resourceIndicators(resources),
    ...formFeatures(deps),
  };
}

/** Those with forms of the library: a sign-out's question, and the code of a device. */
function formFeatures(
  deps: Pick<ConfigurationDeps, 'pages' | 'pairwise' | 'anonymousForms'>,
): Pick<Features, 'rpInitiatedLogout' | 'deviceFlow'> {
  const { pages } = deps;
  return {
    rpInitiatedLogout: {
      enabled: true,
      async logoutSource(ctx) {
        if (!(await signOutByHint(ctx, deps.pairwise))) await pages.logout(ctx, xsrfOf(deps, ctx));
      },
      postLogoutSuccessSource: (ctx) => pages.loggedOut(ctx),
    },
    deviceFlow: {
      enabled: true,
      // Eight of twenty consonants, of which no two look alike and no word is made.
      charset: 'base-20',
      mask: '****-****',
      deviceInfo: (ctx) => ({ address: ctx.ip }),
      userCodeInputSource: (ctx, _form, _out, problem) => pages.userCode(ctx, xsrfOf(deps, ctx), problem),
      userCodeConfirmSource: (ctx, ...[, client, { address }, userCode]) =>
        pages.userCodeFound(ctx, xsrfOf(deps, ctx), { client, address: String(address), userCode }),
      successSource: (ctx) => pages.deviceConnected(ctx),
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
