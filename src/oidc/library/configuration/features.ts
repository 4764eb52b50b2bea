/** The features that oidc-provider serves, with their settings. */
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

/** The `features` of the configuration. */
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
    // Unsigned request objects are refused: `none` is not among the algorithms. They prove no more than the query
    // does.
    requestObjects: { enabled: true, assertJwtClaimsAndHeader: claims.requestObject },
    claimsParameter: { enabled: true, assertClaimsParameter: checkClaimsParameter },
    // A nonce is offered to clients whose clock is wrong. It is required of no client.
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

/** The features for which the library shows forms: sign-out, and the user code of a device. */
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
      // Eight characters out of twenty consonants: no two look alike, and they form no words.
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

/** The secret against cross-site request forgery that a form of the library must send back. */
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
