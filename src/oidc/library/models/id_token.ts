/** oidc-provider's IdToken: nothing of it is replaced; these are called. */
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
 * Checks the signature and the issuer of a JWT with the published keys, or the client's secret; rejects where they are wrong.
 * `client` is one, or what the library reads of one.
 */
export type ValidateJwt = <Jwt>(jwt: string, client: object) => Promise<Jwt>;

export function jwtValidator(provider: Provider): ValidateJwt {
  const Model = modelOf<IdTokenClass>(provider, 'IdToken');
  return async <Jwt>(jwt: string, client: object) => (await Model.validate(jwt, client)) as Jwt;
}

/** An authorization response as a JWT (JARM). */
export function signAnswer(ctx: KoaContextWithOIDC, answer: object): Promise<string> {
  const Model = modelOf<IdTokenClass>(ctx.oidc.provider, 'IdToken');
  const token = new Model({}, { ctx });
  token.extra = answer;
  return token.issue({ use: 'authorization' });
}

/** Undefined where none of the scopes asks for one. `source`: the code or token that the ID token comes of. */
export const issueIdToken: (
  provider: Provider,
  ctx: KoaContextWithOIDC,
  source: { readonly scopes: Set<string> },
  token: AccessToken,
  grant: Grant,
  scopes: Set<string>,
) => Promise<string | undefined> = grantCommon.issueIdToken;
