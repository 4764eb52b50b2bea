/** How long things last. Pure. */

/** Life of each token, in seconds. */
export const lifeSeconds = {
  accessToken: 900,
  /** How long a revocation is kept: a minute more than any access token lives, for instances whose clocks differ. */
  revocation: 960,
  authorizationCode: 60,
  deviceCode: 600,
  backchannelRequest: 600,
  idToken: 3600,
  anonymousSession: 600,
  interaction: 3600,
  refreshIdle: 7 * 86_400,
  refreshFamily: 30 * 86_400,
  /** As long as the client: it is replaced at every change. */
  registrationAccessToken: 10 * 365 * 86_400,
} as const;
