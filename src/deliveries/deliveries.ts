/**
 * Notifies apps, and tries again until they answer. Every instance looks once a second for messages that are due.
 * After a sign-out it looks at once. A message is sent at least once: if the answer is lost, it is sent again. This
 * room owns the schedule and the limits. It does not own the protocol of a message, which `send` knows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NotTaken } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type Delivery, type DeliveryStore, mostAttempts, type NotifiedApp } from './store.ts';

export interface DeliveriesDeps {
  store: DeliveryStore;
  /**
   * Sends one message. Returns false if the app has no address for it. Rejects if the app did not accept it, with
   * `NotTaken` if the app would not accept it later either.
   */
  send(delivery: Delivery): Promise<boolean>;
  /** Called with the outcome of every attempt, for the audit log and the metrics. */
  onOutcome(outcome: 'delivered' | 'failed' | 'given_up', delivery: Delivery): void;
  log: Log;
}

export interface Deliveries {
  /** Sends the messages that are due, and waits for the outcomes. */
  deliverDue(): Promise<void>;
  /** Notifies the apps of a session that has ended. Resolves once each has been tried, or after `waitMs`. */
  afterSignOut(sessionUid: string, waitMs: number): Promise<NotifiedApp[]>;
  start(): void;
  /** Stops looking for messages, and waits for those that are being sent. */
  stop(): Promise<void>;
}

/**
 * How many messages one instance sends concurrently. An app that hangs takes one place until the request times out.
 */
const mostAtOnce = 50;
/** The bound for one account and for one client, so that a person with many apps that hang leaves room for others. */
const mostOfOne = 10;
const lookEveryMs = 1000;

/** Looks for messages by itself after `start`. */
export function createDeliveries(deps: DeliveriesDeps): Deliveries {
  const { store, log } = deps;
  const places = createPlaces();
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;

  function begin(delivery: Delivery): Promise<void> {
    const sending = attempt(deps, delivery)
      .catch((cause) => log.warn({ cause }, 'the outcome of a delivery could not be noted'))
      .finally(() => {
        const wasFull = places.leave(delivery, sending);
        if (wasFull && !stopped) lookNow();
      });
    places.take(delivery, sending);
    return sending;
  }

  /** Looks run one after the other, because each one counts what the earlier ones have begun. */
  let looking: Promise<unknown> = Promise.resolve();
  async function takeDue(): Promise<Promise<void>[]> {
    const begun: Promise<void>[] = [];
    for (;;) {
      const free = places.free();
      const taken = free > 0 ? await store.take(free, mostOfOne, places) : [];
      begun.push(...taken.map(begin));
      if (taken.length === 0) return begun;
    }
  }
  async function deliverDue(): Promise<void> {
    const look = looking.then(takeDue);
    looking = look.catch(() => {});
    await Promise.all(await look);
  }

  // Does not wait for the outcomes, so that an app that hangs does not delay the others.
  const lookNow = (): void =>
    void deliverDue().catch((cause) => log.warn({ cause }, 'the deliveries that are due could not be read'));

  function lookAgain(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      lookNow();
      lookAgain();
    }, lookEveryMs).unref();
  }

  return {
    deliverDue,
    afterSignOut(sessionUid, waitMs) {
      void deliverDue().catch((cause) => log.warn({ cause }, 'the apps of a sign-out are notified later'));
      return outcomesOf(store, sessionUid, waitMs);
    },
    start() {
      stopped = false;
      lookAgain();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await places.allDone();
    },
  };
}

async function attempt({ store, send, onOutcome, log }: DeliveriesDeps, delivery: Delivery): Promise<void> {
  const { id, kind, clientId: client, attempt: number } = delivery;
  try {
    const sent = await send(delivery);
    await store.note(id, sent ? 'delivered' : 'no_address', 'ok');
    if (sent) onOutcome('delivered', delivery);
  } catch (cause) {
    const last = number >= mostAttempts || cause instanceof NotTaken;
    log.warn({ kind, client, attempt: number, last, cause }, 'an app could not be notified');
    await store.note(id, last ? 'given_up' : 'waiting', String(cause));
    onOutcome(last ? 'given_up' : 'failed', delivery);
  }
}

/** Polls the rows for the outcomes, because another instance may have taken the deliveries. */
async function outcomesOf(store: DeliveryStore, sessionUid: string, waitMs: number): Promise<NotifiedApp[]> {
  const until = performance.now() + waitMs;
  for (;;) {
    const apps = await store.ofSession(sessionUid);
    const pending = apps.some(({ state, tried }) => state === 'waiting' && !tried);
    if (!pending || performance.now() >= until) return apps;
    await sleep(50);
  }
}

/** Counts the messages that this process is sending, by account and by client. */
function createPlaces() {
  const underWay = new Set<Promise<void>>();
  const accounts = new Map<string, number>();
  const clients = new Map<string, number>();
  const isFull = ({ accountId, clientId }: Delivery): boolean =>
    underWay.size >= mostAtOnce ||
    (accounts.get(accountId) ?? 0) >= mostOfOne ||
    (clients.get(clientId) ?? 0) >= mostOfOne;
  return {
    accounts: accounts as ReadonlyMap<string, number>,
    clients: clients as ReadonlyMap<string, number>,
    free: () => mostAtOnce - underWay.size,
    take({ accountId, clientId }: Delivery, sending: Promise<void>): void {
      underWay.add(sending);
      add(accounts, accountId, 1);
      add(clients, clientId, 1);
    },
    /**
     * Frees the place. Returns true if it was the last one, so that a message may have been left out for lack of it.
     */
    leave(delivery: Delivery, sending: Promise<void>): boolean {
      const wasFull = isFull(delivery);
      underWay.delete(sending);
      add(accounts, delivery.accountId, -1);
      add(clients, delivery.clientId, -1);
      return wasFull;
    },
    allDone: () => Promise.all(underWay),
  };
}

function add(counts: Map<string, number>, name: string, by: number): void {
  const count = (counts.get(name) ?? 0) + by;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}
