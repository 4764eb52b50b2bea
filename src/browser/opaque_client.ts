/**
 * The client side of OPAQUE: a password and the server's answers in, messages for the wire out. It runs in the
 * pages' worker and, being free of the DOM, in tests and native clients too. It does not talk to the server (the
 * pages do) and it is the only place in the browser that knows @cloudflare/opaque-ts.
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
 * Starts a login. `ke1` goes to login/init; `finish` takes the KE2 that came back and gives the KE3 for
 * login/finish, or undefined where the password is wrong or the user unknown: the two cannot be told apart here.
 * Throws if the answer is not a KE2 at all. `stretch` is what the server's records were made with.
 */
export async function startLogin(password: string, stretch: MemoryHardFn = ScryptMemHardFn) {
  const client = new OpaqueClient(config, stretch);
  const ke1 = unwrap(await client.authInit(normalizePassword(password)));
  return {
    ke1: toBase64url(ke1.serialize()),
    async finish(ke2: string): Promise<string | undefined> {
      const answer = KE2.deserialize(config, decode(ke2, MESSAGE_BYTES.ke2));
      // Identities stay undefined, so they are the public keys: a renamed user or a moved domain breaks nothing.
      const result = await client.authFinish(answer, undefined, undefined, OPAQUE_CONTEXT);
      return result instanceof Error ? undefined : toBase64url(result.ke3.serialize());
    },
  };
}

/**
 * Starts a registration. `request` goes to register/init; `finish` takes the response that came back and gives the
 * record for register/finish. Throws if the answer is not a registration response.
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
