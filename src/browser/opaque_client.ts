/**
 * The client side of OPAQUE: takes a password and the server's answers, and returns the messages to send. It runs in
 * the pages' worker. It does not need the DOM, so tests and native clients can use it too. It never talks to the
 * server. In the browser, nothing else uses @cloudflare/opaque-ts.
 */
import {
  getOpaqueConfig,
  KE2,
  type MemoryHardFn,
  OpaqueClient,
  OpaqueID,
  RegistrationResponse,
  ScryptMemHardFn,
} from '@cloudflare/opaque-ts';
import { fromBase64url, MESSAGE_BYTES, OPAQUE_CONTEXT, toBase64url } from '../opaque/wire.ts';
import { normalizePassword } from './password.ts';

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);

/**
 * Starts a login. Send `ke1` to login/init. `finish` takes the KE2 of the answer and returns the KE3 for
 * login/finish. It returns undefined if the password is wrong or the user unknown: these cannot be distinguished
 * here. It throws if the answer is not a KE2. Messages are base64url. `stretch`: the function that the server's
 * records were made with.
 */
export async function startLogin(password: string, stretch: MemoryHardFn = ScryptMemHardFn) {
  const client = new OpaqueClient(config, stretch);
  const ke1 = unwrap(await client.authInit(normalizePassword(password)));
  return {
    ke1: toBase64url(ke1.serialize()),
    async finish(ke2: string): Promise<string | undefined> {
      const answer = KE2.deserialize(config, decode(ke2, MESSAGE_BYTES.ke2));
      // Without identities, the public keys are used. So a renamed user or a new domain invalidates no record.
      const result = await client.authFinish(answer, undefined, undefined, OPAQUE_CONTEXT);
      return result instanceof Error ? undefined : toBase64url(result.ke3.serialize());
    },
  };
}

/**
 * Starts a registration. Send `request` to register/init. `finish` takes the response and returns the record for
 * register/finish. It throws if the answer is not a registration response. Messages are base64url.
 */
export async function startRegistration(password: string, stretch: MemoryHardFn = ScryptMemHardFn) {
  const client = new OpaqueClient(config, stretch);
  const request = unwrap(await client.registerInit(normalizePassword(password)));
  return {
    request: toBase64url(request.serialize()),
    async finish(response: string): Promise<string> {
      const answer = RegistrationResponse.deserialize(
        config,
        decode(response, MESSAGE_BYTES.registrationResponse),
      );
      return toBase64url(unwrap(await client.registerFinish(answer)).record.serialize());
    },
  };
}

function decode(text: string, length: number): number[] {
  const bytes = fromBase64url(text, length);
  if (!bytes) throw new Error('the server sent a malformed OPAQUE message');
  return Array.from(bytes);
}

function unwrap<T>(result: T | Error): T {
  if (result instanceof Error) throw result;
  return result;
}
