/**
 * One OPAQUE exchange, registration and login, between any two sides, with all randomness given; the library's own
 * two sides; and the server as in production. It judges nothing. Called by what makes test/vectors and by the tests that compare with them.
 */
import { randomFillSync } from 'node:crypto';
import {
  ExpectedAuthResult,
  getOpaqueConfig,
  IdentityMemHardFn,
  KE1,
  KE2,
  KE3,
  OpaqueClient,
  OpaqueID,
  OpaqueServer,
  RegistrationRecord,
  RegistrationRequest,
  RegistrationResponse,
  ScryptMemHardFn,
} from '@cloudflare/opaque-ts';
import { type Credential, createOpaque, type Opaque } from '../../src/opaque/opaque.ts';

/** The id of the one version of the server's secrets. */
export const version = 'version';

/** Byte strings are hex, messages are in the wire format, null is what a case does not have. */
export interface Inputs {
  stretching: 'identity' | 'scrypt';
  context: string;
  server_identity: string | null;
  client_identity: string | null;
  oprf_seed: string;
  server_private_key: string;
  server_public_key: string;
  credential_identifier: string;
  /** What an unknown user's credential_identifier is made from. */
  unknown_name_key: string | null;
  username_key: string | null;
  /** As typed, and as OPAQUE is given them. Nobody registers an unknown user. */
  registration_typed: string | null;
  registration_password: string | null;
  login_typed: string;
  login_password: string;
  /** What crypto.getRandomValues gives out, in order; the server's first draws make its fake record. */
  randomness: Record<'server_start' | 'client_registration' | 'client_login' | 'server_login', string[]>;
  /** The message whose byte at the offset has its lowest bit flipped on the way. */
  tampered: { message: 'ke2' | 'ke3'; offset: number } | null;
}

export interface Outputs {
  registration_request: string | null;
  registration_response: string | null;
  registration_record: string | null;
  registration_export_key: string | null;
  ke1: string;
  ke2: string;
  /** What the server keeps until KE3 comes: the client's MAC and the session key. */
  expected: string;
  ke3: string | null;
  export_key: string | null;
  session_key: string | null;
  /** Who refuses the other, and the library's name for the error. */
  refused_by: 'client' | 'server' | null;
  error: string | null;
}

export interface Vector {
  name: string;
  inputs: Inputs;
  outputs: Outputs;
}

export type Server = Pick<Opaque, 'registerInit' | 'loginInit'> & {
  registerFinish(record: string): { bytes: Uint8Array };
  loginFinish(ke3: string, expected: string): boolean | Error;
};

/** The pages' client shows no keys and names no error. */
export interface Client {
  register(
    password: string,
  ): Promise<{ request: string; finish(response: string): Promise<{ record: string; export_key?: string }> }>;
  login(password: string): Promise<{
    ke1: string;
    finish(
      ke2: string,
    ): Promise<{ ke3: string; export_key?: string; session_key?: string } | Error | undefined>;
  }>;
}

export const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);
export const stretchings = { identity: IdentityMemHardFn, scrypt: ScryptMemHardFn };
export const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
export const toHex = (bytes: readonly number[] | Uint8Array) => Buffer.from(bytes).toString('hex');
const toWire = (message: { serialize(): number[] }) => Buffer.from(message.serialize()).toString('base64url');
const fromWire = (text: string) => [...Buffer.from(text, 'base64url')];

/** What @noble/curves hides a secret scalar with; it changes no result. No message has random bytes of this length. */
const BLIND_BYTES = 16;

/** Gives `chunks` to whoever asks crypto.getRandomValues during a run; one of another length is an error. */
export function createRandomness(chunks: readonly string[]) {
  const left = [...chunks];
  const getRandomValues = (target: Uint8Array) => {
    if (target.length === BLIND_BYTES) return randomFillSync(target);
    const chunk = fromHex(left.shift() ?? '');
    if (chunk.length !== target.length)
      throw new Error(`${target.length} random bytes asked for, ${chunk.length} given`);
    target.set(chunk);
    return target;
  };
  return {
    async during<T>(run: () => T | Promise<T>): Promise<T> {
      Object.defineProperty(crypto, 'getRandomValues', { configurable: true, value: getRandomValues });
      try {
        return await run();
      } finally {
        Reflect.deleteProperty(crypto, 'getRandomValues');
      }
    },
    assertSpent() {
      if (left.length > 0) throw new Error(`${left.length} random values were not asked for`);
    },
  };
}

/** Registers, logs in, and tells every message. `passwords`: whether the client is given the typed or the final ones. */
export async function exchange(
  inputs: Inputs,
  makeServer: () => Promise<Server>,
  client: Client,
  passwords: 'typed' | 'password',
): Promise<Outputs> {
  const { randomness, credential_identifier, tampered } = inputs;
  const atServer = createRandomness([...randomness.server_start, ...randomness.server_login]);
  const atClient = createRandomness([...randomness.client_registration, ...randomness.client_login]);
  const flip = (message: 'ke2' | 'ke3', text: string) => {
    if (tampered?.message !== message) return text;
    const bytes = Buffer.from(text, 'base64url');
    bytes.writeUInt8(bytes.readUInt8(tampered.offset) ^ 1, tampered.offset);
    return bytes.toString('base64url');
  };
  const server = await atServer.during(makeServer);

  let credential: Credential | undefined;
  const registered: Partial<Outputs> = {};
  const password = inputs[`registration_${passwords}`];
  if (password !== null) {
    const { request, finish } = await atClient.during(() => client.register(password));
    const { response, keyId } = await atServer.during(() =>
      server.registerInit(request, credential_identifier),
    );
    const { record, export_key } = await atClient.during(() => finish(response));
    const opaqueRecord = server.registerFinish(record).bytes;
    credential = { credentialId: credential_identifier, opaqueRecord, opaqueKeyId: keyId };
    registered.registration_request = request;
    registered.registration_response = response;
    registered.registration_record = record;
    registered.registration_export_key = export_key ?? null;
  }

  const { ke1, finish } = await atClient.during(() => client.login(inputs[`login_${passwords}`]));
  const { ke2, expected } = await atServer.during(() =>
    server.loginInit(ke1, credential, inputs.username_key ?? ''),
  );
  const finished = await atClient.during(() => finish(flip('ke2', ke2)));
  const proof = finished instanceof Error ? undefined : finished;
  const verdict = proof && server.loginFinish(flip('ke3', proof.ke3), expected);
  const error = [finished, verdict].find((each) => each instanceof Error);
  for (const each of [atServer, atClient]) each.assertSpent();
  return {
    registration_request: null,
    registration_response: null,
    registration_record: null,
    registration_export_key: null,
    ...registered,
    ke1,
    ke2,
    expected,
    ke3: proof?.ke3 ?? null,
    export_key: proof?.export_key ?? null,
    session_key: proof?.session_key ?? null,
    refused_by: !proof ? 'client' : verdict === true ? null : 'server',
    error: error?.message ?? null,
  };
}

/** The library's server, with a fake record made first, as its manual says. */
export async function makeLibraryServer(inputs: Inputs): Promise<Server> {
  const keys = {
    private_key: [...fromHex(inputs.server_private_key)],
    public_key: [...fromHex(inputs.server_public_key)],
  };
  const seed = [...fromHex(inputs.oprf_seed)];
  const server = new OpaqueServer(config, seed, keys, inputs.server_identity ?? undefined);
  const fake = Uint8Array.from((await RegistrationRecord.createFake(config)).serialize());
  return {
    async registerInit(request, credentialId) {
      const message = RegistrationRequest.deserialize(config, fromWire(request));
      return { response: toWire(must(await server.registerInit(message, credentialId))), keyId: version };
    },
    registerFinish: (record) => ({ bytes: Uint8Array.from(fromWire(record)) }),
    async loginInit(ke1, credential) {
      const record = RegistrationRecord.deserialize(config, [...(credential?.opaqueRecord ?? fake)]);
      const { ke2, expected } = must(
        await server.authInit(
          KE1.deserialize(config, fromWire(ke1)),
          record,
          inputs.credential_identifier,
          inputs.client_identity ?? undefined,
          inputs.context,
        ),
      );
      return { ke2: toWire(ke2), expected: toWire(expected) };
    },
    loginFinish(ke3, expected) {
      const state = ExpectedAuthResult.deserialize(config, fromWire(expected));
      const result = server.authFinish(KE3.deserialize(config, fromWire(ke3)), state);
      return result instanceof Error ? result : true;
    },
  };
}

/** The server as in production, on whatever arithmetic is installed. */
export function makeProductionServer(inputs: Inputs): Promise<Server> {
  const keys = {
    seed: fromHex(inputs.oprf_seed),
    privateKey: fromHex(inputs.server_private_key),
    publicKey: fromHex(inputs.server_public_key),
  };
  const unknownNameKey = fromHex(inputs.unknown_name_key ?? '');
  return createOpaque({ versions: [{ id: version, keys }], fakeKeys: keys, unknownNameKey });
}

/** The library's client; its passwords come as hex. */
export function createLibraryClient(inputs: Inputs): Client {
  const { server_identity, client_identity, context } = inputs;
  const identities = [server_identity ?? undefined, client_identity ?? undefined] as const;
  const client = new OpaqueClient(config, stretchings[inputs.stretching]);
  const text = (password: string) => Buffer.from(password, 'hex').toString();
  return {
    async register(password) {
      const request = must(await client.registerInit(text(password)));
      return {
        request: toWire(request),
        async finish(response) {
          const message = RegistrationResponse.deserialize(config, fromWire(response));
          const { record, export_key } = must(await client.registerFinish(message, ...identities));
          return { record: toWire(record), export_key: toHex(export_key) };
        },
      };
    },
    async login(password) {
      const ke1 = must(await client.authInit(text(password)));
      return {
        ke1: toWire(ke1),
        async finish(ke2) {
          const message = KE2.deserialize(config, fromWire(ke2));
          const result = await client.authFinish(message, ...identities, context);
          if (result instanceof Error) return result;
          const { ke3, export_key, session_key } = result;
          return { ke3: toWire(ke3), export_key: toHex(export_key), session_key: toHex(session_key) };
        },
      };
    },
  };
}

function must<T>(result: T | Error): T {
  if (result instanceof Error) throw result;
  return result;
}
