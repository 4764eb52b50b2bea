/**
 * The high-water mark: how far the history of the database had come when it was last seen. Its copies are kept where
 * a restore of the database does not change them: in a file in DATA_DIR and in Redis. Each copy is authenticated. So
 * an attacker who can write there cannot forge a mark, and can only remove it.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { constantTimeEqual, keyedHash } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Cache } from './cache.ts';

export interface Mark {
  /** When the operator last decided about a restored state, in milliseconds since the epoch; 0 if never. */
  epoch: number;
  /** For how long servers have run on this history, in milliseconds. */
  servedMs: number;
}

export const noMark: Mark = { epoch: 0, servedMs: 0 };

/** The mark that is further in the history. */
export const furthest = (one: Mark, other: Mark): Mark =>
  lostBetween(one, other) === undefined ? one : other;

/** How many milliseconds of history a database at `at` lacks if `mark` was seen. Undefined if it lacks nothing. */
export function lostBetween(at: Mark, mark: Mark): number | undefined {
  if (mark.epoch > at.epoch) return Math.max(mark.servedMs - at.servedMs, 1);
  return mark.epoch === at.epoch && mark.servedMs > at.servedMs ? mark.servedMs - at.servedMs : undefined;
}

/** The mark of a token or a copy. Undefined if the values are not whole numbers from 0 on. */
export function parseMark(epoch: unknown, servedMs: unknown): Mark | undefined {
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  return isCount(epoch) && isCount(servedMs) ? { epoch, servedMs } : undefined;
}

export interface MarkCopies {
  /** The furthest mark of all copies. A copy that was not made with our key is ignored. */
  read(): Promise<Mark>;
  /** The mark in the cache, which other instances write too. */
  readCache(): Promise<Mark>;
  /** Resolves with the error if the file could not be written. A failure to write the cache is ignored. */
  write(mark: Mark): Promise<Error | undefined>;
}

/** The path of the file. It is outside the embedded PostgreSQL's directory, so that restoring that keeps the mark. */
export const markFileIn = (dataDir: string): string => join(dataDir, 'restore_mark');

/** The purpose for which its key is derived from the server's secret. */
export const markPurpose = 'restore mark';

const cacheKey = 'restore-mark';

/** `key` belongs to this installation, so copies of others are ignored. `file`: undefined if there is no DATA_DIR. */
export function createMarkCopies(
  key: Uint8Array,
  cache: Pick<Cache, 'get' | 'set'>,
  file: string | undefined,
): MarkCopies {
  const proof = (body: string) => keyedHash(key, body).toString('base64url');
  const textOf = ({ epoch, servedMs }: Mark) => {
    const body = `${epoch}.${servedMs}`;
    return `${body}.${proof(body)}`;
  };
  function open(text: string | undefined): Mark {
    const [, body, epoch, servedMs, given] = /^((\d{1,16})\.(\d{1,16}))\.([\w-]{43})$/.exec(text ?? '') ?? [];
    if (body === undefined || given === undefined || !constantTimeEqual(given, proof(body))) return noMark;
    return parseMark(Number(epoch), Number(servedMs)) ?? noMark;
  }
  const readCache = async () => open(await cache.get(cacheKey));

  async function writeFileWhole(path: string, text: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // Renamed, so that a crash leaves the previous copy. The name has the pid, because processes may share DATA_DIR.
    const aside = `${path}.${process.pid}`;
    await writeFile(aside, text, { mode: 0o600 });
    await rename(aside, path);
  }

  return {
    readCache,
    async read() {
      const text = file === undefined ? '' : await readFile(file, 'utf8').catch(() => '');
      return furthest(open(text.trim()), await readCache());
    },
    async write(mark) {
      const text = textOf(mark);
      await cache.set(cacheKey, text, lifeSeconds.restoreMark);
      return file === undefined
        ? undefined
        : writeFileWhole(file, text).then(
            () => undefined,
            (error: Error) => error,
          );
    },
  };
}
