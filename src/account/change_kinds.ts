/** The kinds of change that a person can make to their own sign-in, and the proof that each of them needs. Pure. */
import type { Exchange } from '../authentication/exchange.ts';
import { lifeSeconds } from '../lifetimes.ts';

/** As they are named in the addresses of their pages. */
export const changes = ['password', 'authenticator', 'recovery-codes'] as const;
export type Change = (typeof changes)[number];

/** The exchange that the proof of a change is given for. */
export const exchangeOf = ({ sessionUid }: { sessionUid: string }, change: Change): Exchange => ({
  for: 'account',
  session: sessionUid,
  change,
});

/** The lifetime of a change's proof. */
export const secondsOf = (change: Change): number =>
  change === 'authenticator' ? lifeSeconds.setUpToken : lifeSeconds.stepToken;
