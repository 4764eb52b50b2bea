/**
 * oidc-provider's Claims. `result`: a client's own `claims` (config/client_claims.ts) join what ID tokens and userinfo say to it.
 * The library knows claims by scope, for all clients alike, and drops every other one.
 */
import type Provider from 'oidc-provider';
import type { Client, KoaContextWithOIDC } from 'oidc-provider';
import type { ClientClaims } from '../../../config/client_claims.ts';
import { claimsByScope } from '../../claims/claims.ts';
import { modelOf } from './model.ts';

type Values = Record<string, unknown>;

interface ClaimsModel {
  available: Values;
  client: Client;
  /** Undefined for logout tokens. */
  ctx: KoaContextWithOIDC | undefined;
  result(): Promise<Values>;
}

/** Adds every client's mapped claims. */
export function overrideClaims(provider: Provider): void {
  const { prototype } = modelOf<{ prototype: ClaimsModel }>(provider, 'Claims');
  const result = prototype.result;
  prototype.result = async function () {
    const claims = await result.call(this);
    const mapping = this.client.claims as ClientClaims | undefined;
    // JARM and introspection responses are made of Claims too, of nobody's.
    if (!mapping || !this.ctx || this.available.sub === undefined) return claims;
    const grant = this.ctx.oidc.entities.Grant;
    const granted = new Set([
      'sub',
      ...(grant?.getOIDCScope() ?? '').split(' ').flatMap((scope) => claimsByScope[scope] ?? []),
      ...(grant?.getOIDCClaims() ?? []),
    ]);
    const known = { ...this.available, sub: claims.sub };
    return { ...claims, ...mapped(mapping, known, granted) };
  };
}

/** A claim by another name is told only where the person has allowed the one it comes from. */
function mapped(mapping: ClientClaims, known: Values, granted: Set<string>): Values {
  const values = Object.entries(mapping).map(([name, source]) => [
    name,
    'value' in source ? source.value : granted.has(source.from) ? known[source.from] : undefined,
  ]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}
