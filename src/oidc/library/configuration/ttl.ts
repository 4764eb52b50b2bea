/** How long what oidc-provider makes is good for, in seconds. */

import type { Configuration } from 'oidc-provider';
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
    // Made at any time of a session, used by families that begin at its very end.
    Grant: config.SESSION_LIFETIME_SECONDS + lifeSeconds.authorizationCode + lifeSeconds.refreshFamily,
    IdToken: lifeSeconds.idToken,
    Interaction: lifeSeconds.interaction,
    RefreshToken: (_ctx, token) => refreshTokenSeconds(token.iiat ?? seconds(), now),
    // One without an account only carries a sign-out's question.
    Session: (_ctx, session) =>
      session.accountId === undefined
        ? lifeSeconds.anonymousSession
        : within(
            config.SESSION_IDLE_SECONDS,
            (session.loginTs ?? seconds()) + config.SESSION_LIFETIME_SECONDS - seconds(),
          ),
  };
}

/** `begun`: when the first token of its family was made, in unix seconds. */
export const refreshTokenSeconds = (begun: number, now: () => number): number =>
  within(lifeSeconds.refreshIdle, begun + lifeSeconds.refreshFamily - Math.floor(now() / 1000));

/** Not beyond what is left of the whole; the library takes no less than a second. */
const within = (idleSeconds: number, leftSeconds: number): number =>
  Math.max(1, Math.min(idleSeconds, leftSeconds));

/** The client may ask for less time (CIBA Core, section 7.1). */
const requestSeconds = (params: { requested_expiry?: unknown } | undefined): number =>
  Math.min(
    Number(params?.requested_expiry) || lifeSeconds.backchannelRequest,
    lifeSeconds.backchannelRequest,
  );
