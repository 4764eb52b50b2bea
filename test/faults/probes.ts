/**
 * Requests from each provider, ten times a second, what must be answered in every state of the storage. It also
 * watches the machine of the run: whether the harness is late, and whether PostgreSQL is slow without an injected
 * fault, because the machine is busy.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCaller } from './caller.ts';
import type { Deployment } from './deployment.ts';

const everyMs = 100;
const lateMs = 50;
const watchEveryMs = 250;
/** So slow that the providers' own limit of 900 ms may be reached. */
const slowMs = 400;
export const slowByItself = 'PostgreSQL was slow by itself';
export const awayByItself = 'PostgreSQL was away by itself';
/** Whether nobody has injected it. */
export const isByItself = ({ name }: { name: string }): boolean =>
  name === slowByItself || name === awayByItself;
export const durableWrite = "select pg_logical_emit_message(true, 'faults', '')";
const paths = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/jwks',
  'paseto keys': '/.well-known/paseto-keys',
};

/** Starts probing; the returned function stops it. */
export function startProbes({ providers, history, storage }: Deployment): () => void {
  const caller = createCaller(
    providers.map(({ port }) => port),
    history,
    -1,
  );
  let round = 0;
  let expected = history.now() + everyMs;
  const timer = setInterval(() => {
    const late = history.now() - expected;
    if (late > lateMs) history.add({ type: 'lag', at: history.now() - late, ms: Math.round(late) });
    expected = history.now() + everyMs;
    const [op, path] = Object.entries(paths)[round++ % 3] as [string, string];
    for (const via of providers.keys()) {
      void caller.call(via, { op, success: ({ status }) => status === 200 }, { path });
    }
  }, everyMs);
  let stopped = false;
  // A handshake and a durable commit, as the providers need them.
  const write = storage.write ?? (async () => void (await storage.query(durableWrite)));
  async function watchPostgres(): Promise<void> {
    while (!stopped) {
      const at = history.now();
      // Until it succeeds: on a busy machine a cluster may change its primary by itself.
      let attempts = 1;
      const isWritten = () =>
        write().then(
          () => true,
          () => false,
        );
      while (!stopped && !(await isWritten())) {
        attempts += 1;
        await sleep(50);
      }
      const until = history.now();
      const period = { from: at, until };
      const about =
        attempts === 1
          ? { name: slowByItself, stalls: period }
          : { name: awayByItself, ...(storage.losesInFailover && { loses: [period] }) };
      if (until - at > slowMs) history.add({ type: 'fault', target: 'postgres', at, until, ...about });
      await sleep(watchEveryMs);
    }
  }
  void watchPostgres();
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
