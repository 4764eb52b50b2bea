/** The page's side of the OPAQUE worker. */
import type { OpaqueReply, OpaqueRequest } from './opaque_worker.ts';

/**
 * Starts the worker immediately, so that it is loaded when the password has been typed. `start` resolves to the first
 * message for the server. `finish` resolves to the second one, or to undefined if the password is wrong or the user
 * unknown. Both reject if the worker cannot be loaded or the server's answer is malformed.
 */
export function createOpaque(workerUrl: string) {
  const worker = new Worker(workerUrl, { type: 'module' });
  let broken = false;
  worker.addEventListener('error', () => {
    broken = true;
  });

  function ask(request: OpaqueRequest): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error('the OPAQUE worker did not load'));
      if (broken) return fail();
      worker.addEventListener('error', fail, { once: true });
      worker.addEventListener(
        'message',
        ({ data }: MessageEvent<OpaqueReply>) => {
          worker.removeEventListener('error', fail);
          if ('fault' in data) reject(new Error(data.fault));
          else resolve(data.message);
        },
        { once: true },
      );
      worker.postMessage(request);
    });
  }

  return {
    async start(step: 'login' | 'register', password: string): Promise<string> {
      return (await ask({ start: step, password })) ?? '';
    },
    finish(answer: string): Promise<string | undefined> {
      return ask({ answer });
    },
  };
}
