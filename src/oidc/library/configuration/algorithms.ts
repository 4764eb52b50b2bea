/** The signature algorithms that oidc-provider accepts and offers. */
import type { Configuration } from 'oidc-provider';

/** Algorithms of ID tokens, userinfo, introspection and authorization responses. We have a key for each of them. */
const signingAlgs = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
/** Algorithms that a client may sign with. */
const clientAlgs = ['ES256', 'PS256', 'EdDSA', 'Ed25519', 'RS256'] as const;

export const enabledJWA: NonNullable<Configuration['enabledJWA']> = {
  idTokenSigningAlgValues: signingAlgs,
  userinfoSigningAlgValues: signingAlgs,
  introspectionSigningAlgValues: signingAlgs,
  authorizationSigningAlgValues: signingAlgs,
  clientAuthSigningAlgValues: ['HS256', ...clientAlgs],
  requestObjectSigningAlgValues: clientAlgs,
  dPoPSigningAlgValues: clientAlgs.filter((alg) => alg !== 'RS256'),
};
