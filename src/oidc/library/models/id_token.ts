/** The functions of oidc-provider's IdToken that we call. Nothing of it is replaced. */
import type Provider from 'oidc-provider';
import type { AccessToken, Grant, KoaContextWithOIDC } from 'oidc-provider';
// @ts-expect-error: not part of the library's types.
import * as grantCommon from 'oidc-provider/lib/helpers/grant_common.js';
import { modelOf } from './model.ts';

interface IdTokenClass {
  new (available: object, options: object): { extra: object; issue(options: object): Promise<string> };
  validate(jwt: string, client: object): Promise<{ header: object; payload: object }>;
}

/**
 * Verifies the signature and the issuer of a JWT, with the published keys or the client's secret. Rejects if they are
 * wrong. `client` is a client, or an object with the fields that the library reads.
 */
export type ValidateJwt = <Jwt>(jwt: string, client: object) => Promise<Jwt>;

/** Makes the function that verifies JWTs with the keys of this provider. */
export function jwtValidator(provider: Provider): ValidateJwt {
  const Model = modelOf<IdTokenClass>(provider, 'IdToken');
  return async <Jwt>(jwt: string, client: object) => (await Model.validate(jwt, client)) as Jwt;
}

/** Signs an authorization response as a JWT (JARM). */
export function signAnswer(ctx: KoaContextWithOIDC, answer: object): Promise<string> {
  const Model = modelOf<IdTokenClass>(ctx.oidc.provider, 'IdToken');
  const token = new Model({}, { ctx });
  token.extra = answer;
  return token.issue({ use: 'authorization' });
}

/**
 * Issues an ID token. Undefined if the scopes do not include `openid`. `source`: the code or token that it is issued
 * for.
 */
export const issueIdToken: (
  provider: Provider,
  ctx: KoaContextWithOIDC,
  source: { readonly scopes: Set<string> },
  token: AccessToken,
  grant: Grant,
  scopes: Set<string>,
) => Promise<string | undefined> = grantCommon.issueIdToken;
