/**
 * Checks whether the database has returned to an older state, and whether apps wait for confirmation after a restore.
 */
import type { Config } from '../../config/load.ts';
import type { StoredKey } from '../../keys/store.ts';
import type { Query } from '../../storage/database.ts';
import { readGuard } from '../../storage/restore_guard.ts';
import { lostBetween } from '../../storage/restore_marks.ts';
import { seenOutside } from '../restored.ts';
import type { Finding } from './finding.ts';

type Found = Omit<Finding, 'about'>;

const offer =
  'run `npx cypher restored`, which ends all that was valid in that state; or `npx cypher restored --accept`, which keeps it';

export async function checkHistory(
  query: Query,
  config: Config,
  keys: readonly StoredKey[],
): Promise<Found[]> {
  const guard = await readGuard(query);
  if (!guard) {
    return [
      {
        level: 'fault',
        found: 'the database does not say how far its history goes',
        change: 'start this version of the server once',
      },
    ];
  }
  const missingMs = guard.behindMs ?? lostBetween(guard.at, await seenOutside(config, keys));
  if (
    missingMs !== undefined &&
    (guard.behindMs !== null || missingMs > config.FAILOVER_LOSS_SECONDS * 1000)
  ) {
    return [
      {
        level: 'fault',
        found: `it has returned to an older state: it lacks at least ${Math.round(missingMs / 1000)} s of what was seen of it`,
        change: offer,
      },
    ];
  }
  const [row] = await query<{ suspended: number }>(
    'select count(*)::int as suspended from clients where suspended_at is not null',
  );
  if (!row || row.suspended === 0) return [{ level: 'ok', found: 'goes as far as was seen of it' }];
  return [
    {
      level: 'warning',
      found: `${row.suspended} apps came back with a backup and are suspended`,
      change:
        'confirm those that are still in use: `npx cypher client list`, `npx cypher client resume ID`; remove the others',
    },
  ];
}
