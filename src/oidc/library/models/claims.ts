/**
 * oidc-provider's Claims. `result` adds the `claims` that the client's entry maps (config/client_claims.ts) to its ID
 * tokens and userinfo. The library knows claims only by scope, the same for all clients, and drops all others.
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

/** Makes this provider add the mapped claims of each client. */
export function overrideClaims(provider: Provider): void {
  const { prototype } = modelOf<{ prototype: ClaimsModel }>(provider, 'Claims');
  const result = prototype.result;
  prototype.result = async function () {
    const claims = await result.call(this);
    const mapping = this.client.claims as ClientClaims | undefined;
    // The library also uses Claims for JARM and introspection responses. Those are not about an account.
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

/** Maps the claims. A claim under another name is included only if the person has allowed the claim it comes from. */
function mapped(mapping: ClientClaims, known: Values, granted: Set<string>): Values {
  const values = Object.entries(mapping).map(([name, source]) => [
    name,
    'value' in source ? source.value : granted.has(source.from) ? known[source.from] : undefined,
  ]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}
