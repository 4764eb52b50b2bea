/**
 * Tells apps what they are to know, until they have answered: every instance looks once a second for what is due, and
 * the page after a sign-out at once. At least once, not exactly once: a message that was received and whose answer was
 * lost is sent again. It knows no protocol; what is sent comes in.
 */
import type { Log } from '../lib/log.ts';
import { type Delivery, type DeliveryStore, mostAttempts, type ToldApp } from './store.ts';

export interface DeliveriesDeps {
  store: DeliveryStore;
  /** Sends one message. False where the app has no address for it; rejects where the app did not take it. */
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
const lookEveryMs = 1000;

export function createDeliveries({ store, send, onOutcome, log }: DeliveriesDeps): Deliveries {
  const underWay = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;

  async function attempt(delivery: Delivery): Promise<void> {
    const { id, kind, clientId: client, attempt: number } = delivery;
    try {
      const sent = await send(delivery);
      await store.note(id, sent ? 'delivered' : 'no_address', 'ok');
      if (sent) onOutcome('delivered', delivery);
    } catch (cause) {
      const last = number >= mostAttempts;
      log.warn({ kind, client, attempt: number, last, cause }, 'an app did not take what it was told');
      await store.note(id, last ? 'given_up' : 'waiting', String(cause));
      onOutcome(last ? 'given_up' : 'failed', delivery);
    }
  }

  async function deliverDue(): Promise<void> {
    const free = mostAtOnce - underWay.size;
    if (free <= 0) return;
    const taken = (await store.take(free)).map((delivery) => {
      const sending = attempt(delivery)
        .catch((cause) => log.warn({ cause }, 'the outcome of a delivery could not be noted'))
        .finally(() => underWay.delete(sending));
      underWay.add(sending);
      return sending;
    });
    await Promise.all(taken);
  }

  function lookAgain(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      // What is taken is not waited for: an app that hangs does not keep the others.
      deliverDue().catch((cause) => log.warn({ cause }, 'what apps are to be told could not be read'));
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
