/**
 * This folder proves who somebody is: password, second factor, known browsers, counts of failures, and the tokens
 * that say what was proved. Sign-in, sign-up and the account page use it. It knows no HTTP requests and no pages, and
 * it owns no accounts and no sessions. This file defines what a proof belongs to.
 */

/** What a password is proved for. What is stored or issued for one exchange is not accepted for another one. */
export type Exchange =
  /** A sign-in or a sign-up. */
  | { for: 'interaction'; uid: string }
  /** One kind of change on the account page, in this sign-on session. */
  | { for: 'account'; session: string; change: string };

/** The key of the state between the two messages. No two exchanges have the same key, because a uid has no spaces. */
export const keyOf = (exchange: Exchange): string =>
  exchange.for === 'interaction' ? exchange.uid : `account ${exchange.change} ${exchange.session}`;

/** The name of the exchange's first message in the audit log and the metrics. */
export const firstStepOf = (exchange: Exchange): string =>
  exchange.for === 'interaction' ? 'login/init' : `account/${exchange.change}/proof/init`;
