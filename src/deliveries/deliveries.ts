/**
 * Tells apps what they are to know, until they have answered: every instance looks once a second for what is due, and
 * the page after a sign-out at once. At least once, not exactly once: a message that was received and whose answer was
 * lost is sent again. It knows no protocol; what is sent comes in.
 */
import { NotTaken } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type Delivery, type DeliveryStore, mostAttempts, type ToldApp } from './store.ts';

export interface DeliveriesDeps {
  store: DeliveryStore;
  /**
   * Sends one message. False where the app has no address for it; rejects where the app did not take it, with `NotTaken`
   * where it would not take it later either.
   */
  send(delivery: Delivery): Promise<boolean>;
  /** Told of every attempt's outcome, for the audit log and the metrics. */
  onOutcome(outcome: 'delivered' | 'failed' | 'given_up', delivery: Delivery): void;
  log: Log;
}

export interface Deliveries {
  /** Sends what is due and waits for the outcomes. */
  deliverDue(): Promise<void>;
  /** The apps of a session that has ended, once each has been tried or `waitMs` have passed. */
  afterSignOut(sessionUid: string, waitMs: number): Promise<ToldApp[]>;
  start(): void;
  /** Ends the looking and waits for what is under way. */
  stop(): Promise<void>;
}

/** So many at once from one instance: an app that hangs keeps one place for as long as a request may take. */
const mostAtOnce = 50;
/** Of one account, and of one client: a person with hundreds of apps that hang, or an app that hangs, leaves room for others. */
const mostOfOne = 10;
const lookEveryMs = 1000;

export function createDeliveries({ store, send, onOutcome, log }: DeliveriesDeps): Deliveries {
  const underWay = new Set<Promise<void>>();
  const accounts = new Map<string, number>();
  const clients = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;

  async function attempt(delivery: Delivery): Promise<void> {
    const { id, kind, clientId: client, attempt: number } = delivery;
    try {
      const sent = await send(delivery);
      await store.note(id, sent ? 'delivered' : 'no_address', 'ok');
      if (sent) onOutcome('delivered', delivery);
    } catch (cause) {
      const last = number >= mostAttempts || cause instanceof NotTaken;
      log.warn({ kind, client, attempt: number, last, cause }, 'an app did not take what it was told');
      await store.note(id, last ? 'given_up' : 'waiting', String(cause));
      onOutcome(last ? 'given_up' : 'failed', delivery);
    }
  }

  /** True where something that is due may have been left, for want of a place. */
  const isFull = ({ accountId, clientId }: Delivery): boolean =>
    underWay.size >= mostAtOnce ||
    (accounts.get(accountId) ?? 0) >= mostOfOne ||
    (clients.get(clientId) ?? 0) >= mostOfOne;

  function begin(delivery: Delivery): Promise<void> {
    const { accountId, clientId } = delivery;
    add(accounts, accountId, 1);
    add(clients, clientId, 1);
    const sending = attempt(delivery)
      .catch((cause) => log.warn({ cause }, 'the outcome of a delivery could not be noted'))
      .finally(() => {
        const wasFull = isFull(delivery);
        underWay.delete(sending);
        add(accounts, accountId, -1);
        add(clients, clientId, -1);
        if (wasFull && !stopped) lookNow();
      });
    underWay.add(sending);
    return sending;
  }

  /** One look after the other, for each counts what those before it have begun. */
  let looking: Promise<unknown> = Promise.resolve();
  async function takeDue(): Promise<Promise<void>[]> {
    const begun: Promise<void>[] = [];
    for (;;) {
      const free = mostAtOnce - underWay.size;
      const taken = free > 0 ? await store.take(free, mostOfOne, { accounts, clients }) : [];
      begun.push(...taken.map(begin));
      if (taken.length === 0) return begun;
    }
  }
  async function deliverDue(): Promise<void> {
    const look = looking.then(takeDue);
    looking = look.catch(() => {});
    await Promise.all(await look);
  }

  // What is taken is not waited for: an app that hangs does not keep the others.
  const lookNow = (): void =>
    void deliverDue().catch((cause) => log.warn({ cause }, 'what apps are to be told could not be read'));

  function lookAgain(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      lookNow();
      lookAgain();
    }, lookEveryMs).unref();
  }

  return {
    deliverDue,
    async afterSignOut(sessionUid, waitMs) {
      const until = performance.now() + waitMs;
      // Another instance may have taken them: then the rows alone tell how it went.
      void deliverDue().catch((cause) => log.warn({ cause }, 'a sign-out waits to be told'));
      for (;;) {
        const apps = await store.ofSession(sessionUid);
        const pending = apps.some(({ state, tried }) => state === 'waiting' && !tried);
        if (!pending || performance.now() >= until) return apps;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    start() {
      stopped = false;
      lookAgain();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.all(underWay);
    },
  };
}

function add(counts: Map<string, number>, name: string, by: number): void {
  const count = (counts.get(name) ?? 0) + by;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}
