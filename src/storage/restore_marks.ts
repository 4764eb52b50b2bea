/**
 * The high-water mark: how far the database's history had come when it was last seen. Copies of it are kept where a
 * restore of the database does not reach: in a file of DATA_DIR and in Redis. Each copy is authenticated, so that whoever
 * can write there can at most take it away.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { constantTimeEqual, keyedHash } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { Cache } from './cache.ts';

export interface Mark {
  /** When the operator last decided about a restored state, in milliseconds since the epoch; 0 where that never was. */
  epoch: number;
  /** For how long servers have run on this history, in milliseconds. */
  servedMs: number;
}

export const noMark: Mark = { epoch: 0, servedMs: 0 };

/** The further one. */
export const furthest = (one: Mark, other: Mark): Mark =>
  lostBetween(one, other) === undefined ? one : other;

/** How many milliseconds of history a database at `at` lacks when `mark` has been seen; undefined where it lacks none. */
export function lostBetween(at: Mark, mark: Mark): number | undefined {
  if (mark.epoch > at.epoch) return Math.max(mark.servedMs - at.servedMs, 1);
  return mark.epoch === at.epoch && mark.servedMs > at.servedMs ? mark.servedMs - at.servedMs : undefined;
}

/** What a token or a copy says, where it is a mark. */
export function parseMark(epoch: unknown, servedMs: unknown): Mark | undefined {
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  return isCount(epoch) && isCount(servedMs) ? { epoch, servedMs } : undefined;
}

export interface MarkCopies {
  /** The furthest mark that any copy names. A copy that was not made with the key counts as none. */
  read(): Promise<Mark>;
  /** The furthest mark in the cache alone, which other instances write too. */
  readCache(): Promise<Mark>;
  /** Resolves with the error where the file could not be written. The cache is written where it can be. */
  write(mark: Mark): Promise<Error | undefined>;
}

/** Beside the embedded PostgreSQL's directory, not in it: whoever puts that back leaves this as it is. */
export const markFileIn = (dataDir: string): string => join(dataDir, 'restore_mark');

/** What its key is derived for from the server's secret. */
export const markPurpose = 'restore mark';

const cacheKey = 'restore-mark';

/** `key`: of this installation alone; a copy of another one's counts as none. `file`: where there is a directory for it. */
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
    // Renamed into place: a crash while it is written leaves the copy before it. By process: several may share DATA_DIR.
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
