/**
 * The browsers' share of OPAQUE, in a thread of its own, so that its arithmetic delays no measurement. It runs on the
 * native group and without stretching: the client must not be the limit, and the server cannot tell.
 */
import { Worker } from 'node:worker_threads';

export const password = 'correct horse battery staple';

export interface OpaqueClients {
  /** A KE1 of the password. They are made ahead and used in turn; `state` names what belongs to it. */
  ke1(): { ke1: string; state: number };
  /** KE2 → KE3. Rejects where the password is wrong. */
  ke3(state: number, ke2: string): Promise<string>;
  registrationRequest(): Promise<string>;
  record(response: string): Promise<string>;
  /** Milliseconds that one KE1 and one KE3 cost here. */
  cost: { ke1Ms: number; ke3Ms: () => number };
  close(): Promise<void>;
}

interface Answer {
  id: number;
  value?: unknown;
  error?: string;
  ms: number;
}

export async function createOpaqueClients(): Promise<OpaqueClients> {
  const worker = new Worker(new URL('./opaque_clients_worker.ts', import.meta.url));
  const waiting = new Map<number, (answer: Answer) => void>();
  let calls = 0;
  let ke3Ms = Number.NaN;
  worker.on('message', (answer: Answer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });

  const call = (action: string, ...args: unknown[]) =>
    new Promise<Answer>((resolve, reject) => {
      calls += 1;
      waiting.set(calls, (answer) =>
        answer.error === undefined ? resolve(answer) : reject(new Error(answer.error)),
      );
      worker.postMessage({ id: calls, action, args });
    });

  const count = 64;
  const made = await call('makeKe1s', count);
  const ke1s = made.value as string[];
  let turn = 0;
  return {
    ke1() {
      turn = (turn + 1) % count;
      return { ke1: ke1s[turn] ?? '', state: turn };
    },
    async ke3(state, ke2) {
      const { value, ms } = await call('ke3', state, ke2);
      ke3Ms = Number.isNaN(ke3Ms) ? ms : ke3Ms * 0.99 + ms * 0.01;
      return String(value);
    },
    registrationRequest: async () => String((await call('registrationRequest')).value),
    record: async (response) => String((await call('record', response)).value),
    cost: { ke1Ms: made.ms / count, ke3Ms: () => ke3Ms },
    close: async () => void (await worker.terminate()),
  };
}
