/**
 * `npx cypher restored`: carries out the operator's decision about a database that has returned to an older state.
 */
import type { Command } from 'commander';
import type { Audit } from '../audit/audit.ts';
import { keyEncryptionKey } from '../config/key_encryption_key.ts';
import type { Config } from '../config/load.ts';
import { redisTarget } from '../config/redis.ts';
import { readKeys, replaceKeys, type StoredKey } from '../keys/store.ts';
import { createSealer, deriveKey, type Sealer } from '../lib/crypto.ts';
import { type Ended, endEverything } from '../revocation/end_everything.ts';
import { keyKinds, rotatedTogether } from '../server_keys.ts';
import { noCache, openRedisCache } from '../storage/cache.ts';
import type { Query } from '../storage/database.ts';
import { beginEpoch } from '../storage/restore_guard.ts';
import { createMarkCopies, type Mark, markFileIn, markPurpose, noMark } from '../storage/restore_marks.ts';
import { onStage, print, type Stage } from './stage.ts';

/** Defines the command `restored`. */
export function describeRestored(restored: Command): void {
  restored
    .option('--keep-clients', 'the apps of the database go on, also those that were removed since the backup')
    .option('--accept', 'end nothing: what was revoked, rotated or removed since the backup is valid again')
    .action(({ accept, keepClients }: { accept?: true; keepClients?: true }) =>
      onStage((stage) =>
        (accept ? acceptState(stage) : endState(stage, keepClients ?? false)).catch(explainOlder),
      ),
    );
}

/** Explains the errors for a missing table or column: https://www.postgresql.org/docs/18/errcodes-appendix.html */
function explainOlder(error: Error & { code?: string }): never {
  if (error.code !== '42P01' && error.code !== '42703') throw error;
  throw new Error(
    'the database is of an earlier version: start this version of the server once, then run this again',
  );
}

/** Seals with the configured key-encryption key, and also unseals with the previous one. */
export const sealerOf = (config: Config): Sealer =>
  createSealer(keyEncryptionKey(config).key, config.KEY_ENCRYPTION_KEY_PREVIOUS);

async function acceptState({ config, database, audit }: Stage): Promise<void> {
  const seen = await seenOutside(config, await readKeys(database.query, sealerOf(config)));
  await database.transaction(async (query) => {
    await beginEpoch(query, seen);
    await audit.recordWithin(query, { event: 'restore.accepted' });
  });
  print('The state of the database is accepted as it is. The servers go on within seconds.');
}

async function endState({ config, database, audit, now }: Stage, keepClients: boolean): Promise<void> {
  const sealer = sealerOf(config);
  // Rejects on a wrong key-encryption key, before anything is changed.
  const seen = await seenOutside(config, await readKeys(database.query, sealer));
  const fresh = await freshKeys();
  const ended = await database.longTransaction((query) =>
    endRestored(query, { sealer, fresh, seen, audit, now: now(), keepClients }),
  );
  for (const line of summaryOf(ended)) print(line);
  print('The servers go on within seconds.');
}

/** A new key of each kind that can be replaced. Call it before anything is locked, because RSA takes long. */
export async function freshKeys(): Promise<Map<string, Uint8Array>> {
  const made = new Map<string, Uint8Array>();
  for (const kind of rotatedTogether) {
    const bytes = await keyKinds[kind]?.generate();
    if (bytes) made.set(kind, bytes);
  }
  return made;
}

export interface RestoredDeps {
  sealer: Sealer;
  fresh: ReadonlyMap<string, Uint8Array>;
  /** The furthest mark that was seen outside the database. */
  seen: Mark;
  audit: Pick<Audit, 'recordWithin'>;
  now: number;
  keepClients: boolean;
}

/** Ends everything that was valid in the restored state, in the transaction of `query`. */
export async function endRestored(query: Query, deps: RestoredDeps): Promise<Ended> {
  const { sealer, fresh, seen, audit, now, keepClients } = deps;
  await replaceKeys(query, sealer, fresh, now);
  const ended = await endEverything(query, { now, keepClients });
  await beginEpoch(query, seen);
  await audit.recordWithin(query, { event: 'restore.ended_all', detail: { ...ended } });
  return ended;
}

/** The lines that the operator must read. */
export function summaryOf(ended: Ended): string[] {
  const lines = [
    'The keys of tokens, ID tokens and cookies were replaced.',
    `Ended: ${ended.sessions} sessions, ${ended.refreshFamilies} refresh families, ${ended.records} codes, requests and consents, ${ended.invitations} invitations.`,
  ];
  if (ended.suspendedClients > 0) {
    lines.push(
      `${ended.suspendedClients} apps of the database are suspended, because some may have been removed since the backup: look at \`npx cypher client list\`, then \`npx cypher client resume ID\` or \`--all\`.`,
    );
  }
  lines.push(
    'As of the backup, and for you to look through: accounts that were disabled since, passwords and authenticators that were changed since, recovery codes that were used since, secrets of apps that were rotated since.',
  );
  return lines;
}

/** The furthest mark in DATA_DIR and Redis. */
export async function seenOutside(config: Config, keys: readonly StoredKey[]): Promise<Mark> {
  const secret = keys.find(({ kind, state }) => kind === 'secret' && state === 'signing');
  if (!secret) return noMark;
  const redis = redisTarget(config);
  const cache = redis ? await openRedisCache(redis).catch(() => noCache) : noCache;
  const copies = createMarkCopies(deriveKey(secret.bytes, markPurpose), cache, markFileIn(config.DATA_DIR));
  return copies.read().finally(cache.close);
}
