/**
 * Clients whose id is the address of their metadata document. oidc-provider keeps the document alone and makes the client
 * anew at every request, so that its keys would be fetched each time; and it forgets at once that a document could not be had.
 * Here both are kept for a while: the client for a minute, a failure for seconds.
 */
import { AppError } from '../../lib/errors.ts';
import { lifeSeconds } from '../../lifetimes.ts';

const failureMs = 5000;
/** Two bounds, so that made-up addresses fill no memory and push out no client whose document was fetched. */
const mostClients = 1000;
const mostOthers = 200;

/** Whether a client id is an address. */
export const isAddress = (id: string): boolean => /^https:\/\//i.test(id);

interface Entry<Model> {
  found: Promise<Model | undefined>;
  until: number;
}

/** Finds by `find`, and keeps what was found. `now`: milliseconds since the epoch. */
export function createDocumentClients<Model>(
  find: (id: string) => Promise<Model | undefined>,
  now: () => number,
): (id: string) => Promise<Model | undefined> {
  const clients = new Map<string, Entry<Model>>();
  /** Those that are being looked for, and failures. */
  const others = new Map<string, Entry<Model>>();

  async function settle(id: string, entry: Entry<Model>): Promise<void> {
    let isClient = false;
    let wasAsked = true;
    try {
      isClient = (await entry.found) !== undefined;
    } catch (error) {
      // One that was not even asked, because of who wanted it, says nothing to others.
      wasAsked = !((error as { cause?: unknown }).cause instanceof AppError);
    }
    // Not where it was looked for anew meanwhile.
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

/** Adds the entry as the newest; the oldest make room. */
function put<T>(among: Map<string, T>, most: number, [id, entry]: [string, T]): void {
  among.delete(id);
  for (const oldest of among.keys()) {
    if (among.size < most) break;
    among.delete(oldest);
  }
  among.set(id, entry);
}
