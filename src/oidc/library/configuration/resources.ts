/** Resource indicators (RFC 8707): the APIs that access tokens are issued for. */

import type { Configuration, ResourceServer } from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Resource } from '../../../config/schema.ts';
import type { Current } from '../../../lib/current.ts';
import { jwtAccessTokenAlg } from '../../tokens/jwt_access_tokens.ts';

type ResourceIndicators = NonNullable<NonNullable<Configuration['features']>['resourceIndicators']>;

/** The feature's settings. An unknown `resource` is refused with InvalidTarget. */
export const resourceIndicators = (resources: Current<readonly Resource[]>): ResourceIndicators => ({
  enabled: true,
  defaultResource: async (_ctx, _client, oneOf) => (oneOf?.length ? oneOf : undefined),
  useGrantedResource: async () => true,
  getResourceServerInfo: async (_ctx, audience) => resourceServer(resources.current(), audience),
});

function resourceServer(resources: readonly Resource[], audience: string): ResourceServer {
  const resource = resources.find((entry) => entry.audience === audience);
  if (!resource) throw new errors.InvalidTarget();
  return {
    audience: resource.audience,
    scope: resource.scopes.join(' '),
    accessTokenTTL: resource.token_seconds,
    // For the library, `opaque` means that it signs no JWT. The access token model then makes a PASETO.
    accessTokenFormat: resource.token_format === 'jwt' ? 'jwt' : 'opaque',
    jwt: { sign: { alg: jwtAccessTokenAlg } },
  };
}
