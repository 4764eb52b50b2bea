/** The APIs that tokens are for (RFC 8707). */

import type { Configuration, ResourceServer } from 'oidc-provider';
import { errors } from 'oidc-provider';
import type { Resource } from '../../../config/schema.ts';
import type { Current } from '../../../lib/current.ts';
import { jwtAccessTokenAlg } from '../../tokens/jwt_access_tokens.ts';

type ResourceIndicators = NonNullable<NonNullable<Configuration['features']>['resourceIndicators']>;

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
    // `opaque` is the library's name for "not its own JWT": the form is PASETO (models/access_token.ts).
    accessTokenFormat: resource.token_format === 'jwt' ? 'jwt' : 'opaque',
    jwt: { sign: { alg: jwtAccessTokenAlg } },
  };
}
