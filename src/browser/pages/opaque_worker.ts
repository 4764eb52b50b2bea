/**
 * Runs OPAQUE outside the page's thread: scrypt and the arithmetic take a few hundred milliseconds, in which the page
 * must stay responsive. It runs one exchange at a time: a start, then a finish with the server's answer. It sends
 * nothing itself. The messages that it returns are all that is sent, and they do not contain the password.
 */
import { startLogin, startRegistration } from '../opaque_client.ts';

export type OpaqueRequest =
  | { start: 'login' | 'register'; password: string }
  /** The server's answer to the message that the start returned. */
  | { answer: string };

/** `message` is base64url. A finish without one means: wrong password or unknown user. */
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

// The first run compiles the arithmetic and makes its tables. A person is still typing then.
void startLogin('');

self.addEventListener('message', async (event: MessageEvent<OpaqueRequest>) => {
  let reply: OpaqueReply;
  try {
    reply = { message: await step(event.data) };
  } catch (error) {
    reply = { fault: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(reply);
});
