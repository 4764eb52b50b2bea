/**
 * All lifetimes: of what is issued, of what waits for its next step, and of marks that something was used. They are
 * in one place because some must be longer than others to be safe. `assertLifetimes` states these relations, and the
 * server does not start if one of them is broken. Timeouts and pauses between attempts are not lifetimes. They stay
 * with the code that waits.
 */

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/**
 * How far the clock of the database may be set back without making anything valid again. A revocation or the mark of
 * a use is kept longer by this margin than the thing that it invalidates.
 */
const clockMargin = hour;

/** The longest lifetime of an access token. A resource may set a shorter one. */
const accessToken = 15 * minute;

/** All lifetimes in seconds. */
export const lifeSeconds = {
  clockMargin,

  // Codes and tokens that apps receive.
  accessToken,
  /** The access token of a resource that sets no lifetime. */
  resourceToken: 10 * minute,
  authorizationCode: minute,
  deviceCode: 10 * minute,
  backchannelRequest: 10 * minute,
  /** A polled code is kept for this time after it has expired, so that a late poll learns that it has expired. */
  polledKept: 5 * minute,
  idToken: hour,
  refreshIdle: 7 * day,
  refreshFamily: 30 * day,
  /** In practice as long as the client exists. Every change of the client replaces the token. */
  registrationAccessToken: 10 * 365 * day,

  // What invalidates them.
  revocation: accessToken + clockMargin,

  // What apps sign.
  /** How far ahead a client assertion may expire. */
  clientAssertion: 5 * minute,
  /** From `nbf` to `exp` of a signed request of a FAPI or CIBA client. */
  requestObject: hour,
  /** How far the `iat` of a DPoP proof may be from now, in either direction. This is oidc-provider's limit. */
  proofWindow: 5 * minute,

  // Sign-in and sign-up, step by step.
  interaction: hour,
  /** Between the two messages that prove a password. */
  passwordProof: minute,
  signUp: 5 * minute,
  /** The token that says which password was just proved. */
  stepToken: 3 * minute,
  /** The same while an authenticator is set up. The person may have to find and install an app first. */
  setUpToken: 15 * minute,
  /** The cookie with the token of an opened link, until the person goes on. */
  openedLink: hour,
  longestInvitation: 30 * day,
  /** A browser that has signed in to an account before. */
  knownDevice: 365 * day,

  // Sessions. The lifetimes of people's sessions are settings.
  anonymousSession: 10 * minute,
  /** The cookie that names the session that has just ended. The page after it shows which apps were notified. */
  signedOut: 5 * minute,

  // Documents and keys that the server fetches from apps. Their headers decide, within these bounds.
  shortestDocument: 5 * minute,
  longestDocument: day,
  shortestKeys: 10 * minute,
  /** Shorter than for keys: a certificate has no `kid`, so a new one is not noticed as missing. */
  shortestCertificates: minute,
  longestKeys: day,
  /** A client made from such a document, in memory. */
  documentClient: minute,

  // What others fetch from this server and may keep.
  publishedKeys: 5 * minute,

  // Forward-auth.
  siteVisit: hour,
  siteCode: minute,

  // Wrong passwords and codes of an account.
  firstDelay: 30,
  longestDelay: 15 * minute,
  /**
   * The same for browsers that the account does not know. A person who fails so often needs another way to sign in.
   */
  longestStrangersDelay: hour,
  /**
   * After too many failures of unknown browsers at an account: the delay between two of their attempts. The first is
   * for networks that have not failed at the account, the second for networks that have.
   */
  newNetworksDelay: minute,
  failedNetworksDelay: 3 * minute,
  /** Failures of an address, at all accounts together. */
  addressFailures: hour,
  /** Failures at an account. */
  accountFailures: day,

  /** The proof by which the server recognizes `npx cypher doctor`. */
  doctorProof: minute,

  /** The restore mark in Redis. It must outlive any pause of the server before a backup is restored. */
  restoreMark: 400 * day,

  /** A message to an app, with its outcome. */
  delivery: day,
} as const;

/** If a code is presented twice within this time, it counts as a double click or a retry. */
export const sameInstantMs = 500;

/**
 * How late a repeated poll may come and still count as a retry after a lost answer. A client that gets no answer
 * doubles its interval (RFC 8628, section 3.5). This allows some fifteen seconds of waiting for the lost answer, ten
 * seconds of the doubled interval, and some for the network.
 */
export const lostAnswerMs = 30_000;

/** A margin for clocks that differ, and for an instance that does not know yet that another key signs. */
export const keyMarginMs = minute * 1000;

/** The settings that the relations below depend on. */
export interface LifetimeSettings {
  resources: readonly { audience: string; token_seconds: number }[];
}

/** Throws an Error that lists the broken relations. */
export function assertLifetimes({ resources }: LifetimeSettings): void {
  const life = lifeSeconds;
  const longestToken = Math.max(life.accessToken, ...resources.map(({ token_seconds }) => token_seconds));
  const relations: Record<string, boolean> = {
    'no resource has tokens that live longer than the longest access token': longestToken <= life.accessToken,
    'a revocation outlives the longest access token by the margin for the clock':
      life.revocation >= longestToken + life.clockMargin,
    'a refresh token does not live longer than its family': life.refreshIdle <= life.refreshFamily,
    'each step of a sign-in ends before the sign-in does':
      Math.max(life.passwordProof, life.stepToken, life.setUpToken, life.signUp) <= life.interaction,
    'a repetition that passes for a lost answer comes while the code is known':
      lostAnswerMs / 1000 <= life.polledKept,
    'a repetition that passes for the same click comes while the code lives':
      sameInstantMs / 1000 <= life.authorizationCode,
    'failures of an address are remembered for longer than they delay':
      life.addressFailures > life.longestDelay,
    'failures at an account are remembered for longer than they delay':
      life.accountFailures >
      Math.max(life.longestStrangersDelay, life.newNetworksDelay, life.failedNetworksDelay),
    'delays grow': life.firstDelay <= Math.min(life.longestDelay, life.longestStrangersDelay),
    'a document, or keys, are kept for longer at most than at least':
      life.shortestDocument <= life.longestDocument &&
      Math.max(life.shortestKeys, life.shortestCertificates) <= life.longestKeys,
  };
  const broken = Object.keys(relations).filter((relation) => !relations[relation]);
  if (broken.length > 0) throw new Error(`lifetimes that contradict each other: ${broken.join('; ')}`);
}
