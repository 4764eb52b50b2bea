/**
 * Runs OPAQUE off the page's thread: scrypt and the big-number arithmetic take a few hundred milliseconds, in which
 * the page must stay alive. One exchange at a time: a start, then a finish with the server's answer. The worker has
 * no network code; what it returns is all that ever leaves with a password in it, and no password is in it.
 */
import { startLogin, startRegistration } from '../opaque_client.ts';

export type OpaqueRequest =
  | { start: 'login' | 'register'; password: string }
  /** The server's answer to the message the start returned. */
  | { answer: string };

/** `message` is base64url for the wire; a finish without one means: wrong password or unknown user. */
export type OpaqueReply = { message: string | undefined } | { fault: string };

let finish: ((answer: string) => Promise<string | undefined>) | undefined;

async function step(request: OpaqueRequest): Promise<string | undefined> {
  if ('answer' in request) {
    const run = finish;
    finish = undefined;
    return run?.(request.answer);
  }
  if (request.start === 'login') {
    const login = await startLogin(request.password);
    finish = login.finish;
    return login.ke1;
  }
  const registration = await startRegistration(request.password);
  finish = registration.finish;
  return registration.request;
}

self.addEventListener('message', async (event: MessageEvent<OpaqueRequest>) => {
  let reply: OpaqueReply;
  try {
    reply = { message: await step(event.data) };
  } catch (error) {
    reply = { fault: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(reply);
});
