/**
 * Cache of clients whose id is the URL of their metadata document. oidc-provider keeps only the document. It builds
 * the client again for every request, so the client's keys would be fetched each time. It also does not remember that
 * a document could not be fetched. Here a client is kept for a minute, and a failure for 5 seconds.
 */
import { AppError } from '../../lib/errors.ts';
import { lifeSeconds } from '../../lifetimes.ts';

const failureMs = 5000;
/** Two bounds, so that invented addresses neither fill the memory nor evict clients whose document was fetched. */
const mostClients = 1000;
const mostOthers = 200;

/** Whether a client id is a URL. */
export const isAddress = (id: string): boolean => /^https:\/\//i.test(id);

interface Entry<Model> {
  found: Promise<Model | undefined>;
  until: number;
}

/** Wraps `find` with the cache. `now`: milliseconds since the epoch. */
export function createDocumentClients<Model>(
  find: (id: string) => Promise<Model | undefined>,
  now: () => number,
): (id: string) => Promise<Model | undefined> {
  const clients = new Map<string, Entry<Model>>();
  /** Lookups in progress, and failures. */
  const others = new Map<string, Entry<Model>>();

  async function settle(id: string, entry: Entry<Model>): Promise<void> {
    let isClient = false;
    let wasAsked = true;
    try {
      isClient = (await entry.found) !== undefined;
    } catch (error) {
      // A rate limit of one caller's address stopped the fetch. That is not a failure for other callers.
      wasAsked = !((error as { cause?: unknown }).cause instanceof AppError);
    }
    // A newer lookup may have replaced this entry. Do not overwrite it.
    const isNewest = others.get(id) === entry && others.delete(id);
    if (isClient) put(clients, mostClients, [id, entry]);
    else if (isNewest && wasAsked) put(others, mostOthers, [id, { ...entry, until: now() + failureMs }]);
  }

  return (id) => {
    const known = clients.get(id) ?? others.get(id);
    if (known && now() < known.until) return known.found;
    clients.delete(id);
    const entry = { found: find(id), until: now() + lifeSeconds.documentClient * 1000 };
    put(others, mostOthers, [id, entry]);
    void settle(id, entry);
    return entry.found;
  };
}

/** Adds the entry as the newest, and evicts the oldest ones beyond `most`. */
function put<T>(among: Map<string, T>, most: number, [id, entry]: [string, T]): void {
  among.delete(id);
  for (const oldest of among.keys()) {
    if (among.size < most) break;
    among.delete(oldest);
  }
  among.set(id, entry);
}
