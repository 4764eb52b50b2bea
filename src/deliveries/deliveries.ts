/**
 * Notifies apps until they have answered. Every instance looks once a second for what is due, and the page after a sign-out looks
 * at once. A message is sent at least once: if its answer was lost, it is sent again. This room knows no protocol: `send` does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NotTaken } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type Delivery, type DeliveryStore, mostAttempts, type NotifiedApp } from './store.ts';

export interface DeliveriesDeps {
  store: DeliveryStore;
  /**
   * Sends one message. False where the app has no address for it; rejects where the app did not take it, with `NotTaken`
   * where it would not take it later either.
   */
  send(delivery: Delivery): Promise<boolean>;
  /** Called with every attempt's outcome, for the audit log and the metrics. */
  onOutcome(outcome: 'delivered' | 'failed' | 'given_up', delivery: Delivery): void;
  log: Log;
}

export interface Deliveries {
  /** Sends what is due and waits for the outcomes. */
  deliverDue(): Promise<void>;
  /** The apps of a session that has ended, once each has been tried or `waitMs` have passed. */
  afterSignOut(sessionUid: string, waitMs: number): Promise<NotifiedApp[]>;
  start(): void;
  /** Stops looking, and waits for what is under way. */
  stop(): Promise<void>;
}

/** So many at once from one instance: an app that hangs keeps one place for as long as a request may take. */
const mostAtOnce = 50;
/** Of one account, and of one client: a person with hundreds of apps that hang, or an app that hangs, leaves room for others. */
const mostOfOne = 10;
const lookEveryMs = 1000;

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

  /** One look at a time, because each counts what those before it have begun. */
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

  // Does not wait for the outcomes: an app that hangs must not keep the others waiting.
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

/** The rows tell how it went, because another instance may have taken the deliveries. */
async function outcomesOf(store: DeliveryStore, sessionUid: string, waitMs: number): Promise<NotifiedApp[]> {
  const until = performance.now() + waitMs;
  for (;;) {
    const apps = await store.ofSession(sessionUid);
    const pending = apps.some(({ state, tried }) => state === 'waiting' && !tried);
    if (!pending || performance.now() >= until) return apps;
    await sleep(50);
  }
}

/** What is under way in this process, of whom. */
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
    /** True if something that is due may have been left for want of this place. */
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
