/** oidc-provider's IdToken: nothing of it is replaced; these are called. */
import type Provider from 'oidc-provider';
import type { KoaContextWithOIDC } from 'oidc-provider';
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
