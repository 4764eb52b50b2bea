/** Asks PostgreSQL on a connection of its own, so that a pool in full use does not delay the answer. */
import type pg from 'pg';
import type { Probe } from './breaker.ts';
import { deadline } from './late.ts';

export interface OwnProbe {
  ask: Probe;
  close(): void;
}

/** `open` makes a connection that is not connected yet. It is made for the first question, and kept. */
export function createProbe(open: () => pg.Client): OwnProbe {
  let kept: { client: pg.Client; connected: Promise<unknown> } | undefined;

  function connection() {
    if (kept) return kept;
    const client = open();
    const mine = { client, connected: client.connect() };
    kept = mine;
    // Without a listener, the event would end the process. The next question finds the connection closed.
    client.on('error', () => drop(mine));
    return mine;
  }

  function drop(which: typeof kept): void {
    if (!which || kept !== which) return;
    kept = undefined;
    void which.client.end().catch(() => {});
  }

  return {
    async ask(withinMs) {
      const asked = connection();
      let cancel = () => {};
      const late = new Promise<never>((_, reject) => {
        cancel = deadline(withinMs, () => reject(new Error('PostgreSQL did not answer a probe')));
      });
      try {
        await Promise.race([asked.connected.then(() => asked.client.query('select 1')), late]);
      } catch (error) {
        drop(asked);
        throw error;
      } finally {
        cancel();
      }
    },
    close: () => drop(kept),
  };
}
