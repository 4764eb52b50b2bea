/** Load on a server: closed (so many at once), open (so many a second, whatever comes back), or by autocannon. */
import { loadPeer } from './peers/load.ts';

/** What a stretch of load came to. */
export interface Load {
  /** Operations that ended well. */
  done: number;
  failed: number;
  /** What the first failure said. */
  failure?: string;
  seconds: number;
  /** Of what ended well, in milliseconds. */
  latencies: number[];
}

/** One operation; rejects where it did not end well. `worker` is the virtual client's number. */
export type Operation = (worker: number) => Promise<unknown>;

/** `workers` virtual clients, each with one operation after the other, for so long or until `more` says no. */
export async function closedLoop(
  workers: number,
  until: { seconds: number } | { operations: number },
  operation: Operation,
): Promise<Load> {
  const load: Load = { done: 0, failed: 0, seconds: 0, latencies: [] };
  const begun = performance.now();
  let started = 0;
  const goesOn = () =>
    'seconds' in until ? performance.now() - begun < until.seconds * 1000 : started < until.operations;
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (goesOn()) {
        started += 1;
        await timed(load, performance.now(), () => operation(worker));
      }
    }),
  );
  load.seconds = (performance.now() - begun) / 1000;
  return load;
}

/**
 * Starts operations at random instants (a Poisson process) at this mean rate; latencies count from when each was due, so
 * that a server that stalls is charged for all who came meanwhile. Resolves when the last has ended.
 */
export async function openLoop(perSecond: number, seconds: number, operation: Operation): Promise<Load> {
  const load: Load = { done: 0, failed: 0, seconds, latencies: [] };
  const begun = performance.now();
  const running: Promise<void>[] = [];
  let due = begun;
  while (due < begun + seconds * 1000) {
    const late = performance.now();
    if (late < due) await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - late)));
    // A timer may fire a millisecond late: all that have become due start together.
    while (due <= performance.now() && due < begun + seconds * 1000) {
      const from = due;
      running.push(timed(load, from, () => operation(running.length)));
      due += (-Math.log(1 - Math.random()) * 1000) / perSecond;
    }
  }
  await Promise.all(running);
  return load;
}

async function timed(load: Load, from: number, operation: () => Promise<unknown>): Promise<void> {
  try {
    await operation();
    load.done += 1;
    load.latencies.push(performance.now() - from);
  } catch (error) {
    load.failed += 1;
    load.failure ??= (error as Error).message;
  }
}

export interface CannonRequest {
  method: 'POST';
  path: string;
  headers: Record<string, string>;
  body: string;
}

interface Cannon extends PromiseLike<unknown> {
  on(event: 'response', told: (client: object, status: number, bytes: number, ms: number) => void): this;
}

/** autocannon on `connections` kept connections that go round the requests; a status other than 200 is a failure. */
export async function cannon(
  origin: string,
  requests: CannonRequest[],
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Load> {
  const { default: autocannon } = (await loadPeer('autocannon')) as {
    default(options: object): Cannon;
  };
  const load: Load = { done: 0, failed: 0, seconds: 0, latencies: [] };
  const begun = performance.now();
  let last = begun;
  const run = autocannon({ url: origin, connections, duration: seconds, requests });
  run.on('response', (_client, status, _bytes, ms) => {
    last = performance.now();
    if (status !== 200) {
      load.failed += 1;
      load.failure ??= `status ${status}`;
    } else {
      load.done += 1;
      load.latencies.push(ms);
    }
  });
  await run;
  load.seconds = (last - begun) / 1000;
  return load;
}
