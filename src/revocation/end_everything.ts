/**
 * Ends everything after a database was restored to an older state. In that state, things are valid again that were
 * used, rotated, revoked or removed since. Accounts, passwords, authenticators and recovery codes are kept, because
 * people still rely on them and we cannot know which of them have changed since.
 */
import type { Query } from '../storage/database.ts';

/** How many of each were ended. */
export interface Ended {
  sessions: number;
  refreshFamilies: number;
  /** Grants, codes, CIBA requests, and the tokens by which apps register or change their registration. */
  records: number;
  invitations: number;
  suspendedClients: number;
}

const totpStepMs = 30_000;

/**
 * Ends everything in the transaction of `query`, which may take long. The caller must replace the token keys in the
 * same transaction, because access tokens end only with their keys. `now`: milliseconds since the epoch.
 * `keepClients`: do not suspend the clients of the database.
 */
export async function endEverything(
  query: Query,
  { now, keepClients }: { now: number; keepClients: boolean },
): Promise<Ended> {
  const at = new Date(now);
  const count = async (text: string, values: unknown[] = []): Promise<number> => {
    const [row] = await query<{ rows: number }>(
      `with ended as (${text} returning 1) select count(*)::int as rows from ended`,
      values,
    );
    return row?.rows ?? 0;
  };
  // Logins that wait for their redirect become invalid. So do all authenticator codes up to now, because they may
  // have been used.
  await query(
    `update accounts set signed_out_at = $1,
       totp_last_step = case when totp_secret is null then totp_last_step else greatest(totp_last_step, $2::int) end`,
    [at, Math.floor(now / totpStepMs)],
  );
  await query("update deliveries set state = 'given_up' where kind = 'ping' and state = 'waiting'");
  await query('delete from ephemeral');
  // A consent may have been withdrawn since. So the person is asked again.
  await query('delete from consents');
  await query('delete from authenticator_resets where used_at is null');
  return {
    // A trigger on the end of a session stores the notifications to its apps.
    sessions: await count('update sessions set ended_at = $1 where ended_at is null', [at]),
    refreshFamilies: await count(
      "update refresh_families set ended_at = $1, ended_because = 'restored' where ended_at is null",
      [at],
    ),
    records: await count('delete from records'),
    invitations: await count('delete from invitations where used_at is null'),
    suspendedClients: keepClients
      ? 0
      : await count('update clients set suspended_at = $1 where suspended_at is null', [at]),
  };
}
