/** The thread of opaque_clients.ts: opaque-ts' own client, its arithmetic the native one, its stretching none. */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';
import { parentPort } from 'node:worker_threads';
import {
  getOpaqueConfig,
  IdentityMemHardFn,
  KE2,
  OpaqueClient,
  OpaqueID,
  RegistrationResponse,
} from '@cloudflare/opaque-ts';
import { installNativeGroup } from '../../src/opaque/native_group.ts';
import { OPAQUE_CONTEXT, toBase64url } from '../../src/opaque/wire.ts';
import { password } from './opaque_clients.ts';

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
const newClient = () => new OpaqueClient(config, IdentityMemHardFn);
const bytes = (text: unknown) => [...Buffer.from(String(text), 'base64url')];
const clients: OpaqueClient[] = [];
let signUp = newClient();

function must<T>(result: T | Error): T {
  if (result instanceof Error) throw result;
  return result;
}

const actions: Record<string, (...args: unknown[]) => Promise<unknown>> = {
  async makeKe1s(count) {
    const made: string[] = [];
    for (let index = 0; index < Number(count); index += 1) {
      const client = newClient();
      made.push(toBase64url(must(await client.authInit(password)).serialize()));
      clients.push(client);
    }
    return made;
  },
  async ke3(state, ke2) {
    // A client object finishes once; what it knows of its KE1 serves again in a copy.
    const client = Object.assign(newClient(), clients[Number(state)]);
    const message = KE2.deserialize(config, bytes(ke2));
    const { ke3 } = must(await client.authFinish(message, undefined, undefined, OPAQUE_CONTEXT));
    return toBase64url(ke3.serialize());
  },
  async registrationRequest() {
    signUp = newClient();
    return toBase64url(must(await signUp.registerInit(password)).serialize());
  },
  async record(response) {
    const message = RegistrationResponse.deserialize(config, bytes(response));
    return toBase64url(must(await signUp.registerFinish(message)).record.serialize());
  },
};

// People have machines of their own: nothing else on this core may wait for them.
setPriority(Number(basename(readlinkSync('/proc/thread-self'))), 19);
const ready = installNativeGroup();
parentPort?.on('message', async ({ id, action, args }: { id: number; action: string; args: unknown[] }) => {
  await ready;
  const begun = performance.now();
  try {
    const value = await actions[action]?.(...args);
    parentPort?.postMessage({ id, value, ms: performance.now() - begun });
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).message, ms: performance.now() - begun });
  }
});
