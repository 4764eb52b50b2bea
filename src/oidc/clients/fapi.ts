/**
 * FAPI 2.0, for clients whose entry has `fapi`. This file checks and completes their metadata as required by the
 * security profile (section 5.3), by message signing, or by FAPI-CIBA
 * (https://openid.net/specs/openid-financial-api-ciba-ID1.html). oidc-provider then enforces that metadata. Other
 * rules of the profiles hold for all clients: codes are valid for 60 seconds, and authorization responses have `iss`.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';

/** A client's metadata while oidc-provider checks it. */
type Metadata = Record<string, unknown>;

const strongAlgs = ['PS256', 'ES256', 'EdDSA', 'Ed25519'];
const strongAuthentication = ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'];

/** The FAPI profile that oidc-provider enforces for a client. Undefined if its entry has no `fapi`. */
export const fapiProfile = (_ctx: KoaContextWithOIDC, client: { fapi?: unknown } | undefined) =>
  client?.fapi === undefined ? undefined : '2.0';

/**
 * oidc-provider's validator of a client's metadata. Sets the fields that the profile requires. Throws
 * InvalidClientMetadata if the metadata does not meet the profile.
 */
export function holdToFapi(_ctx: unknown, key: string, profile: unknown, metadata: Metadata): void {
  if (key !== 'fapi' || profile === undefined) return;
  const demand = (met: boolean, what: string) => {
    if (!met) throw new errors.InvalidClientMetadata(`a fapi client ${what}`);
  };
  const { token_endpoint_auth_method: method, token_endpoint_auth_signing_alg: authAlg } = metadata;
  demand(
    strongAuthentication.includes(String(method)),
    'must have a token_endpoint_auth_method of private_key_jwt, tls_client_auth or self_signed_tls_client_auth',
  );
  if (method === 'private_key_jwt')
    demand(
      strongAlgs.includes(String(authAlg)),
      `must have a token_endpoint_auth_signing_alg of ${strongAlgs.join(', ')}`,
    );
  const types = metadata.response_types as string[];
  demand(
    types.every((type) => type === 'code'),
    'must have no response_types but code',
  );
  Object.assign(metadata, {
    require_pushed_authorization_requests: true,
    require_pkce: true,
    // Tokens must be bound to a certificate or to a DPoP key. Without certificate binding in the entry, it is DPoP.
    dpop_bound_access_tokens: metadata.tls_client_certificate_bound_access_tokens !== true,
  });
  const answers = ['id_token_signed_response_alg', 'userinfo_signed_response_alg'];
  if (profile === 'message_signing') {
    answers.push('authorization_signed_response_alg', 'introspection_signed_response_alg');
    metadata.request_object_signing_alg ??= 'ES256';
    Object.assign(metadata, {
      require_signed_request_object: true,
      response_modes: ['jwt', 'query.jwt', 'form_post.jwt'],
    });
    demand(
      strongAlgs.includes(String(metadata.request_object_signing_alg)),
      `must have a request_object_signing_alg of ${strongAlgs.join(', ')}`,
    );
  }
  if (profile === 'ciba') {
    const grants = metadata.grant_types as string[];
    demand(
      grants.includes('urn:openid:params:grant-type:ciba'),
      'of "ciba" must have the grant type of CIBA',
    );
    metadata.backchannel_authentication_request_signing_alg ??= 'ES256';
    demand(
      strongAlgs.includes(String(metadata.backchannel_authentication_request_signing_alg)),
      `must have a backchannel_authentication_request_signing_alg of ${strongAlgs.join(', ')}`,
    );
  }
  // RS256 is the library's default here. FAPI does not allow it, so it cannot be the client's own choice.
  for (const name of answers) if (metadata[name] === 'RS256') metadata[name] = 'ES256';
}
