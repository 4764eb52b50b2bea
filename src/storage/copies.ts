/**
 * Copies of what PostgreSQL holds, in a cache that others may be able to write to. Each copy is sealed and bound to its
 * name, and its name says of which version it is a copy. Whoever writes to the cache can therefore take a copy away, and
 * nothing more: one that was altered, moved from another name or forged is a miss, and is reported.
 */
import type { Cache } from './cache.ts';

/** Seals texts that open only under the same name. */
export interface CopySeal {
  seal(name: string, text: string): string;
  /** Undefined for whatever was not sealed under this name. */
  open(name: string, sealed: string): string | undefined;
}

export interface Copies {
  /** `accountId`: whose data it is, for the report of a copy that was refused. */
  get(name: string, accountId: string | undefined): Promise<object | undefined>;
  put(name: string, value: object, ttlSeconds: number): Promise<void>;
}

/** In characters. A larger text is neither kept nor looked at, so that nobody can have the server open megabytes. */
const longestCopy = 128 * 1024;

/** `onRefused` is called for each copy that does not open: somebody else has written to the cache. */
export function createCopies(
  cache: Pick<Cache, 'get' | 'set'>,
  { seal, open }: CopySeal,
  onRefused: (accountId: string | undefined) => void,
): Copies {
  return {
    async get(name, accountId) {
      const sealed = await cache.get(name);
      if (sealed === undefined) return undefined;
      const text = sealed.length <= longestCopy ? open(name, sealed) : undefined;
      if (text === undefined) onRefused(accountId);
      return text === undefined ? undefined : (JSON.parse(text) as object);
    },
    async put(name, value, ttlSeconds) {
      const sealed = seal(name, JSON.stringify(value));
      if (sealed.length <= longestCopy) await cache.set(name, sealed, ttlSeconds);
    },
  };
}

/** For a command that runs once: it keeps no copies. */
export const noCopies: Copies = { get: async () => undefined, put: async () => {} };
