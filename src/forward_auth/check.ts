/**
 * Checks one request for a site: whose ticket it carries, whether that session is still live in PostgreSQL, and what
 * the site's rule says. So a sign-out anywhere, a disabled account or an ended session takes effect at the next
 * request.
 */
import type { Account } from '../accounts/accounts.ts';
import type { SessionPayload } from '../sessions/session.ts';
import { type Identity, identityHeaders } from './identity.ts';
import { decide } from './rules.ts';
import type { Site } from './sites.ts';
import type { Tickets } from './tickets.ts';

export type Verdict =
  | { outcome: 'allowed'; headers: Record<string, string> }
  | { outcome: 'denied'; username: string }
  | { outcome: 'sign_in' | 'step_up' };

export interface CheckDeps {
  tickets: Pick<Tickets, 'open'>;
  /** The live session of this uid. Counts as a use of it, so that it does not expire for lack of use. */
  useSession(uid: string): Promise<SessionPayload | undefined>;
  accountById(id: string): Promise<Account | undefined>;
  /** Whether a login (unix seconds) happened after everything of the account was last ended. */
  standsAfter(account: Account, loginTs: number): boolean;
  claimsOf(account: Account): Record<string, unknown>;
  /** Milliseconds since the epoch. */
  now: () => number;
}

/** More than a browser has by itself. Further ones were set by a sibling site, and it costs work to open each. */
const mostTickets = 3;

export function createCheck(deps: CheckDeps) {
  async function holderOf(tickets: string[]): Promise<(Identity & { account: Account }) | undefined> {
    for (const ticket of tickets.slice(0, mostTickets)) {
      const holder = await deps.tickets.open(ticket);
      if (!holder) continue;
      const [session, account] = await Promise.all([
        deps.useSession(holder.sessionUid),
        deps.accountById(holder.accountId),
      ]);
      const loginTs = Number(session?.loginTs);
      // By now the session may belong to another person, who signed in in the same browser.
      if (!session || !account || session.accountId !== account.id || !deps.standsAfter(account, loginTs))
        continue;
      const claims = { ...deps.claimsOf(account), acr: session.acr, amr: session.amr };
      return { accountId: account.id, account, claims, loginTs };
    }
    return undefined;
  }

  return async function check(site: Site, tickets: string[]): Promise<Verdict> {
    const holder = await holderOf(tickets);
    if (!holder) return { outcome: 'sign_in' };
    const { account, claims, loginTs } = holder;
    const outcome = decide(site, { usernameKey: account.usernameKey, claims, loginTs }, deps.now() / 1000);
    if (outcome === 'allowed') return { outcome, headers: identityHeaders(holder, site.scopes) };
    return outcome === 'denied' ? { outcome, username: account.username } : { outcome };
  };
}

export type Check = ReturnType<typeof createCheck>;
