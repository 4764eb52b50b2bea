/**
 * Proving who somebody is: password, second factor, known browsers, counts of failures, and the tokens that say what was
 * proved. Sign-in, sign-up and the account page use it. It knows nothing of HTTP: no request, no cookie, no page, and it
 * owns no account and no session. Here is what a proof belongs to.
 */

/** What somebody proves a password for. What is kept or issued for one exchange is worth nothing for another one. */
export type Exchange =
  /** A sign-in or a sign-up. */
  | { for: 'interaction'; uid: string }
  /** One kind of change on the account page, in this sign-on session. */
  | { for: 'account'; session: string; change: string };

/** Under what the state between its two messages is kept. No two exchanges have the same key: a uid has no spaces. */
export const keyOf = (exchange: Exchange): string =>
  exchange.for === 'interaction' ? exchange.uid : `account ${exchange.change} ${exchange.session}`;

/** What its first message is called in the audit log and in the metrics. */
export const firstStepOf = (exchange: Exchange): string =>
  exchange.for === 'interaction' ? 'login/init' : `account/${exchange.change}/proof/init`;
