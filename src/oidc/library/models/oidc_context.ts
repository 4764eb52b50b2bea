/**
 * oidc-provider's OIDCContext. At introspection and revocation the library refuses every JWT before it asks a model.
 * But it first calls `entity` with the client of the request. So the override of `entity` marks a JWT there. A marked
 * token does not look like a JWT to the library, and reaches the access token model.
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
