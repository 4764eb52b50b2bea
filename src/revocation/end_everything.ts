/**
 * Ends all that was valid before: for a database that has returned to an older state, in which everything is valid again
 * that was used up, rotated, revoked or removed since. What cannot be told from what people still rely on stays: accounts
 * with their passwords and authenticators, and recovery codes.
 */
import type { Query } from '../storage/database.ts';

/** How many of each were ended. */
export interface Ended {
  sessions: number;
  refreshFamilies: number;
  /** Codes, requests and their answers, consents, and tokens that register or change apps. */
  records: number;
  invitations: number;
  suspendedClients: number;
}

const totpStepMs = 30_000;

/**
 * Ends everything, in the transaction of `query`, which may take long. Access tokens end with the keys that made them: the
 * caller replaces these in the same transaction. `keepClients`: the apps of the database go on.
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
  // A login that still waits for its redirect counts no more, and no code of the authenticator up to now: it may have been used.
  await query(
    `update accounts set signed_out_at = $1,
       totp_last_step = case when totp_secret is null then totp_last_step else greatest(totp_last_step, $2::int) end`,
    [at, Math.floor(now / totpStepMs)],
  );
  await query("update deliveries set state = 'given_up' where kind = 'ping' and state = 'waiting'");
  await query('delete from ephemeral');
  // A consent may have been withdrawn since: the person is asked again.
  await query('delete from consents');
  await query('delete from authenticator_resets where used_at is null');
  return {
    // The apps of these sessions are notified, by the trigger on their end.
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
