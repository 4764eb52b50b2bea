/** The lifetimes of what oidc-provider issues and stores, in seconds. */

import type { Client, Configuration } from 'oidc-provider';
import type { Config } from '../../../config/load.ts';
import type { Resource } from '../../../config/schema.ts';
import type { Current } from '../../../lib/current.ts';
import { lifeSeconds } from '../../../lifetimes.ts';

type Ttl = NonNullable<Configuration['ttl']>;
type Settings = Pick<Config, 'SESSION_IDLE_SECONDS' | 'SESSION_LIFETIME_SECONDS'>;

/** `now`: milliseconds since the epoch. */
export function ttl(config: Settings, resources: Current<readonly Resource[]>, now: () => number): Ttl {
  const seconds = () => Math.floor(now() / 1000);
  const ofAudience = (audience: unknown) =>
    resources.current().find((resource) => resource.audience === audience)?.token_seconds ??
    lifeSeconds.accessToken;
  return {
    AccessToken: (_ctx, token) => ofAudience(token.aud),
    ClientCredentials: (_ctx, token) => ofAudience(token.aud),
    AuthorizationCode: lifeSeconds.authorizationCode,
    DeviceCode: lifeSeconds.deviceCode,
    BackchannelAuthenticationRequest: (_ctx, request) => requestSeconds(request.params),
    RegistrationAccessToken: lifeSeconds.registrationAccessToken,
    // A grant may be made at the start of a session, and an app may be authorized at the session's very end.
    Grant: (_ctx, grant) => config.SESSION_LIFETIME_SECONDS + grantNeededSeconds(grant.client),
    IdToken: lifeSeconds.idToken,
    Interaction: lifeSeconds.interaction,
    RefreshToken: (_ctx, token) => refreshTokenSeconds(token.iiat ?? seconds(), now),
    // A session without an account only holds the state of a sign-out form.
    Session: (_ctx, session) =>
      session.accountId === undefined
        ? lifeSeconds.anonymousSession
        : within(
            config.SESSION_IDLE_SECONDS,
            (session.loginTs ?? seconds()) + config.SESSION_LIFETIME_SECONDS - seconds(),
          ),
  };
}

/**
 * How long the grant of an authorization is needed after it, in seconds: until its code and the tokens that follow from
 * it have expired.
 */
export const grantNeededSeconds = (client: Client | undefined): number =>
  Math.max(lifeSeconds.authorizationCode, lifeSeconds.deviceCode + lifeSeconds.polledKept) +
  (client?.grantTypeAllowed('refresh_token') === false ? lifeSeconds.accessToken : lifeSeconds.refreshFamily);

/**
 * The lifetime of the next refresh token of a family, in seconds. `begun`: when the family's first token was made, in
 * unix seconds. `now`: milliseconds since the epoch.
 */
export const refreshTokenSeconds = (begun: number, now: () => number): number =>
  within(lifeSeconds.refreshIdle, begun + lifeSeconds.refreshFamily - Math.floor(now() / 1000));

/**
 * The idle time, but not more than what is left of the whole lifetime. The library accepts no less than one second.
 */
const within = (idleSeconds: number, leftSeconds: number): number =>
  Math.max(1, Math.min(idleSeconds, leftSeconds));

/** The lifetime of a CIBA request in seconds. The client may ask for a shorter one (CIBA Core, section 7.1). */
const requestSeconds = (params: { requested_expiry?: unknown } | undefined): number =>
  Math.min(
    Number(params?.requested_expiry) || lifeSeconds.backchannelRequest,
    lifeSeconds.backchannelRequest,
  );
