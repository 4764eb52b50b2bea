/**
 * oidc-provider's OIDCContext. `entity`: the library refuses every JWT at introspection and revocation before it asks a model.
 * It names the client of a request to the context before it looks at the token: there a JWT is marked, so that it passes for a
 * token of another form and reaches the models (access_token.ts).
 */
import type Provider from 'oidc-provider';
import { markJwt } from '../../tokens/jwt_access_tokens.ts';
import { modelOf } from './model.ts';

interface ContextModel {
  route: string;
  params?: { token?: unknown };
  entity(key: string, value: unknown): void;
}

export function overrideContext(provider: Provider): void {
  const { prototype } = modelOf<{ prototype: ContextModel }>(provider, 'OIDCContext');
  const { entity } = prototype;
  prototype.entity = function (key, value) {
    const takesTokens = this.route === 'introspection' || this.route === 'revocation';
    if (key === 'Client' && takesTokens && this.params) this.params.token = markJwt(this.params.token);
    entity.call(this, key, value);
  };
}
