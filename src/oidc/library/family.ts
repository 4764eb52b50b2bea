/**
 * Which refresh family a request at the token or revocation endpoint is about. All that comes of one authorization code
 * (or device code) is one family, whether or not it has refresh tokens; its id is derived from that source, so that a
 * code that is presented again names exactly the tokens of its first use.
 */
import Provider from 'oidc-provider';
import { sha256 } from '../../lib/crypto.ts';

/** A token or code of oidc-provider, as far as it matters here. `familyId` is set by our own `find` and `save`. */
export interface InFamily {
  familyId?: string | undefined;
}

interface Entities {
  RefreshToken?: InFamily;
  AccessToken?: InFamily;
  AuthorizationCode?: { jti: string };
  DeviceCode?: { jti: string };
  BackchannelAuthenticationRequest?: { jti: string };
}

/** The family of all that comes of this code. */
export const familyOf = (code: string): string => sha256(`family ${code}`);

const routesOfOneFamily = new Set(['token', 'revocation']);

/** The family in question, or undefined where the request is about something wider, such as a sign-out. */
export function familyInQuestion(): string | undefined {
  const ctx = Provider.ctx;
  if (!ctx?.oidc || !routesOfOneFamily.has(ctx.oidc.route)) return undefined;
  const entities = ctx.oidc.entities as Entities;
  const source =
    entities.AuthorizationCode ?? entities.DeviceCode ?? entities.BackchannelAuthenticationRequest;
  return (
    entities.RefreshToken?.familyId ??
    (source ? familyOf(source.jti) : undefined) ??
    entities.AccessToken?.familyId
  );
}

/** The device code or CIBA request that is polled for in this request. */
export function polledCode(): string | undefined {
  const ctx = Provider.ctx;
  const { DeviceCode, BackchannelAuthenticationRequest } = (ctx?.oidc?.entities ?? {}) as Entities;
  return (DeviceCode ?? BackchannelAuthenticationRequest)?.jti;
}

/** True where the request is about a refresh token, whose own `destroy` ends the family. */
export function refreshTokenInQuestion(): boolean {
  return (Provider.ctx?.oidc.entities as Entities | undefined)?.RefreshToken !== undefined;
}
