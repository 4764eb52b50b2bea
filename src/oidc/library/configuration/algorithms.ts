/** What is signed with which algorithms. */
import type { Configuration } from 'oidc-provider';

/** What an ID token, userinfo, an introspection or an authorization response is signed with: there is a key for each. */
const signingAlgs = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
/** What a client may sign with. */
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
