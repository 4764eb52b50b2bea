/**
 * How long everything lasts: what is issued, what waits for its next step, and what is remembered so that it cannot be
 * used again. All lifetimes are here, because some must be longer than others to be safe. `assertLifetimes` states these
 * relations, and the server does not start where one of them does not hold. Timeouts and pauses between attempts are not
 * lifetimes: they stay with the code that waits.
 */

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/**
 * How far the clock of the database may be set back without making anything valid again. What stops something else from
 * being used (a revocation, the mark of a use) is kept this much longer than that something lives.
 */
const clockMargin = hour;

/** The longest life of an access token; a resource may ask for less. */
const accessToken = 15 * minute;

/** All in seconds. */
export const lifeSeconds = {
  clockMargin,

  // What apps receive.
  accessToken,
  /** Where a resource does not say. */
  resourceToken: 10 * minute,
  authorizationCode: minute,
  deviceCode: 10 * minute,
  backchannelRequest: 10 * minute,
  /** A code that was polled for is known for this much longer, so that a late poll hears that it has expired. */
  polledKept: 5 * minute,
  idToken: hour,
  refreshIdle: 7 * day,
  refreshFamily: 30 * day,
  /** As long as the client: the token is replaced at every change. */
  registrationAccessToken: 10 * 365 * day,

  // What stops them.
  revocation: accessToken + clockMargin,

  // What apps sign, and how it is remembered.
  /** How far ahead a client assertion may expire. */
  clientAssertion: 5 * minute,
  /** From `nbf` to `exp` of a signed request of a FAPI or CIBA client. */
  requestObject: hour,
  /** How far a DPoP proof's `iat` may be from now, before and after: what oidc-provider allows. */
  proofWindow: 5 * minute,

  // Sign-in and sign-up, step by step.
  interaction: hour,
  /** Between the two messages of a password's proof. */
  passwordProof: minute,
  signUp: 5 * minute,
  /** The token that says which password was just proved. */
  stepToken: 3 * minute,
  /** The same while an authenticator is set up: somebody may have to find and install the app first. */
  setUpToken: 15 * minute,
  /** A browser that was invited, on its way to the sign-up. */
  openedLink: hour,
  longestInvitation: 30 * day,
  /** A browser that has signed in to an account before. */
  knownDevice: 365 * day,

  // Sessions. Those of people have their lives from the settings.
  anonymousSession: 10 * minute,
  /** The cookie that names the session which has just ended, for the page that says which apps know. */
  signedOut: 5 * minute,

  // Documents and keys of apps that the server has fetched: as their headers say, within these bounds.
  shortestDocument: 5 * minute,
  longestDocument: day,
  shortestKeys: 10 * minute,
  /** A certificate has no `kid` by which to miss it. */
  shortestCertificates: minute,
  longestKeys: day,
  /** What was made of a document, in memory. */
  documentClient: minute,

  // What others fetch from here, and may keep.
  publishedKeys: 5 * minute,

  // Forward-auth.
  siteVisit: hour,
  siteCode: minute,

  // Wrong passwords and codes of an account.
  firstDelay: 30,
  longestDelay: 15 * minute,
  /** For strangers: who mistypes a password that often has another browser, or needs another way in. */
  longestStrangersDelay: hour,
  /** Between two attempts at an account by browsers that it does not know, once there were too many. */
  newNetworksDelay: minute,
  failedNetworksDelay: 3 * minute,
  /** Failures of an address, at whichever accounts. */
  addressFailures: hour,
  /** Failures at an account. */
  accountFailures: day,

  /** What `npx cypher doctor` proves itself by. */
  doctorProof: minute,

  /** How far the database's history went, kept in Redis: longer than anybody stops a server before a backup is restored. */
  restoreMark: 400 * day,

  /** A message to an app, with its outcome. */
  delivery: day,
} as const;

/** Two presentations of a code this close together are one click or one retry. */
export const sameInstantMs = 500;

/**
 * A client that polls is told to come again where no answer came, after twice the interval (RFC 8628, section 3.5): these
 * are some fifteen seconds of waiting for the lost answer, the ten of the interval, and some for the way.
 */
export const lostAnswerMs = 30_000;

/** For clocks of instances that differ, and for an instance that has not yet seen that another key signs. */
export const keyMarginMs = minute * 1000;

/** The settings that are lifetimes, as far as a relation is about them. */
export interface LifetimeSettings {
  resources: readonly { audience: string; token_seconds: number }[];
}

/** Throws where a lifetime is longer than another one may outlive. */
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
