/**
 * What people have allowed apps (scopes, claims and APIs), until they withdraw it. Grants and sessions are not here,
 * because they begin and end with sign-ins. Withdrawal is in src/revocation, because it also ends the app's tokens.
 */
import type { Database } from '../storage/database.ts';

/** What was allowed for one API. `audience` is empty for claims and scopes of the provider itself. */
export interface Consent {
  audience: string;
  scopes: string[];
  claims: string[];
}

export interface GivenConsent extends Consent {
  clientId: string;
  /** Milliseconds since the epoch. */
  since: number;
}

export interface Consents {
  /**
   * What the account has allowed the client, by API. It leaves out consents for an earlier client with the same id.
   */
  of(accountId: string, clientId: string): Promise<Consent[]>;
  /** Adds to what the account has allowed the client before. */
  remember(accountId: string, clientId: string, given: readonly Consent[]): Promise<void>;
  /** Everything that the account has allowed any client, the oldest first. */
  list(accountId: string): Promise<GivenConsent[]>;
}

/** A consent for an earlier client with the same id, whose removal was interrupted. It counts for nothing. */
const isStale =
  "c.given_at < coalesce((select created_at from clients where id = excluded.client_id), '-infinity')";

const added = (column: string) =>
  `case when ${isStale} then excluded.${column}
     else (select coalesce(array_agg(distinct each), '{}') from unnest(c.${column} || excluded.${column}) each) end`;

/** `now`: milliseconds since the epoch. */
export function createConsents({ query }: Pick<Database, 'query'>, now: () => number): Consents {
  return {
    of: (accountId, clientId) =>
      query<Consent>(
        `select audience, scopes, claims from consents
         where account_id = $1 and client_id = $2
           and given_at >= coalesce((select created_at from clients where id = $2), '-infinity')`,
        [accountId, clientId],
      ),
    async remember(accountId, clientId, given) {
      for (const { audience, scopes, claims } of given)
        await query(
          `insert into consents as c (account_id, client_id, audience, scopes, claims, given_at)
           values ($1, $2, $3, $4, $5, $6)
           on conflict (account_id, client_id, audience) do update set
             scopes = ${added('scopes')}, claims = ${added('claims')},
             given_at = case when ${isStale} then excluded.given_at else c.given_at end`,
          [accountId, clientId, audience, scopes, claims, new Date(now())],
        );
    },
    async list(accountId) {
      const rows = await query<Consent & { clientId: string; givenAt: Date }>(
        `select client_id as "clientId", audience, scopes, claims, given_at as "givenAt"
         from consents where account_id = $1 order by given_at`,
        [accountId],
      );
      return rows.map(({ givenAt, ...row }) => ({ ...row, since: givenAt.getTime() }));
    },
  };
}
