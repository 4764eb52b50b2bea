/**
 * Clients whose id is the address of their metadata document. oidc-provider keeps the document alone and makes the client
 * anew at every request, so that its keys would be fetched each time; and it forgets at once that a document could not be had.
 * Here both are kept for a while: the client for a minute, a failure for seconds.
 */
import { AppError } from '../lib/errors.ts';

const clientMs = 60_000;
const failureMs = 5000;
/** So that made-up addresses fill no memory. */
const mostKept = 1000;

/** Whether a client id is an address. */
export const isAddress = (id: string): boolean => /^https:\/\//i.test(id);

/** Finds by `find`, and keeps what was found. `now`: milliseconds since the epoch. */
export function createDocumentClients<Model>(
  find: (id: string) => Promise<Model | undefined>,
  now: () => number,
): (id: string) => Promise<Model | undefined> {
  const kept = new Map<string, { found: Promise<Model | undefined>; until: number }>();
  return (id) => {
    const known = kept.get(id);
    if (known && now() < known.until) return known.found;
    kept.delete(id);
    for (const oldest of kept.keys()) {
      if (kept.size < mostKept) break;
      kept.delete(oldest);
    }
    const entry = { found: find(id), until: now() + clientMs };
    kept.set(id, entry);
    entry.found.catch((error: { cause?: unknown }) => {
      // One that was not even asked, because of who wanted it, says nothing to others.
      if (error.cause instanceof AppError) kept.delete(id);
      else entry.until = now() + failureMs;
    });
    return entry.found;
  };
}
