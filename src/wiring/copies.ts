/** The copies in the cache: what they are sealed with, and who is notified of one that is not ours. */
import type { AppDeps } from '../app.ts';
import type { Keyring } from '../keys/keyring.ts';
import { createReportBound } from '../lib/report_bound.ts';
import { type Copies, type CopySeal, createCopies } from '../storage/copies.ts';
import { createV4Local, createV4LocalKey } from '../tokens/v4_local.ts';

/** Whoever can write to Redis must not be able to fill the audit log. */
const mostReportsPerMinute = 10;

/**
 * The key is derived from one that does not rotate, so that all instances have the same at any time and no rotation makes
 * good copies look forged.
 */
export function wireCopies(
  keyring: Pick<Keyring, 'derive'>,
  { cache, audit, log, metrics, now }: Pick<AppDeps, 'cache' | 'audit' | 'log' | 'metrics' | 'now'>,
): Copies {
  const mayReport = createReportBound(mostReportsPerMinute, now);
  return createCopies(cache, copySeal(keyring.derive('copies in the cache')), (accountId) => {
    metrics.copiesRefused.inc();
    const unreported = mayReport();
    if (unreported === undefined) return;
    log.warn({ accountId, unreported }, 'a copy in Redis is not of our making: somebody else writes to it');
    audit.record({ event: 'copy.refused', accountId, detail: { unreported } });
  });
}

/** Copies as v4.local PASETOs under a key (32 bytes) of their own, with the name as the implicit assertion. */
export function copySeal(bytes: Uint8Array): CopySeal {
  const key = createV4LocalKey(bytes);
  const under = (name: string) => createV4Local(key, new Uint8Array(), Buffer.from(name));
  return {
    seal: (name, text) => under(name).seal(Buffer.from(text)),
    open: (name, sealed) => under(name).open(sealed)?.toString(),
  };
}
