/**
 * The server's side of OPAQUE (draft 07, suite P-256), with @cloudflare/opaque-ts. This file owns the protocol's
 * messages, which are base64url as `wire.ts` defines it, and the versions of the server's secrets. It keeps no state
 * between messages, reads no account, and never sees a password.
 */
import {
  ExpectedAuthResult,
  getOpaqueConfig,
  KE1,
  KE3,
  OpaqueID,
  OpaqueServer,
  RegistrationRecord,
  RegistrationRequest,
} from '@cloudflare/opaque-ts';
import { keyedHash } from '../lib/crypto.ts';
import { invalidRequest } from '../lib/errors.ts';
import { createTurns } from '../lib/turns.ts';
import { uncompressedPoint } from './points.ts';
import { withSyncHashes } from './sync_hashes.ts';
import { fromBase64url, MESSAGE_BYTES, OPAQUE_CONTEXT, toBase64url } from './wire.ts';

const suite = 'draft-07/P256-SHA256';
/** How the client on the pages stretches the password: opaque-ts' ScryptMemHardFn. */
const stretching = { function: 'scrypt', N: 32768, r: 8, p: 1 };

/** The secrets: a 32-byte OPRF seed and the server's long-term key pair. */
export interface OpaqueKeys {
  seed: Uint8Array;
  privateKey: Uint8Array;
  publicKey: Uint8Array;
}

/** One version of the secrets. An account's record works only with the version that it was made with. */
export interface OpaqueVersion {
  id: string;
  keys: OpaqueKeys;
}

export interface Credential {
  credentialId: string;
  opaqueRecord: Uint8Array;
  /** The version that the record was made with. */
  opaqueKeyId: string;
}

export interface Opaque {
  /**
   * RegistrationRequest → RegistrationResponse, with the newest version. `keyId` is that version. Throws AppError 400
   * for a malformed message.
   */
  registerInit(request: string, credentialId: string): Promise<{ response: string; keyId: string }>;
  /** Checks the form and the public key of a finished record. Throws AppError 400 for a malformed message. */
  registerFinish(record: string): OpaqueRecord;
  /** Whether records of this version work. */
  hasVersion(keyId: string): boolean;
  /**
   * KE1 → KE2, and `expected`, the state that KE3 is checked against. If there is no credential (an unknown name), or
   * if its version was dropped, the answer comes from a constant fake record and an identifier that is fixed for the
   * name. So the work and the shape of the answer are the same. Throws AppError 400 for a malformed message.
   */
  loginInit(
    ke1: string,
    credential: Credential | undefined,
    usernameKey: string,
  ): Promise<{ ke2: string; expected: string }>;
  /** True if KE3 is the expected one: the client knows the password. Throws AppError 400 for a malformed message. */
  loginFinish(ke3: string, expected: string): boolean;
  /** Replaces the versions. The newest one comes first. */
  useVersions(versions: readonly OpaqueVersion[]): void;
}

/**
 * What is stored of a password. Suite and stretching are stored, so that a sign-in can replace them by newer ones.
 */
export interface OpaqueRecord {
  bytes: Uint8Array;
  suite: string;
  stretching: object;
}

const config = withSyncHashes(getOpaqueConfig(OpaqueID.OPAQUE_P256));

/** Generates a new version of the secrets. */
export async function generateOpaqueKeys(): Promise<OpaqueKeys> {
  const pair = await config.ake.generateAuthKeyPair();
  return {
    seed: Uint8Array.from(config.prng.random(config.hash.Nh)),
    privateKey: Uint8Array.from(pair.private_key),
    publicKey: Uint8Array.from(pair.public_key),
  };
}

export interface OpaqueDeps {
  versions: readonly OpaqueVersion[];
  /**
   * The keys that answer for unknown names. They must not be one of the versions. When a version is dropped, the
   * answers for unknown names would change, while those for an account change only with its password. That would tell
   * them apart.
   */
  fakeKeys: OpaqueKeys;
  /** The key that maps unknown names to their fixed credential identifiers. */
  unknownNameKey: Uint8Array;
  /** Called before a version counts as dropped, because another instance may have made it a moment ago. */
  lookForVersions?: () => Promise<void>;
}

/** The server's side of OPAQUE. `useVersions` replaces the versions. */
export async function createOpaque(deps: OpaqueDeps): Promise<Opaque> {
  const { fakeKeys, unknownNameKey, lookForVersions } = deps;
  const fakeServer = createServer(fakeKeys);
  // Made once, because it takes as long as a quarter of a sign-in. That time would reveal which names are unknown.
  const fake = Buffer.from((await RegistrationRecord.createFake(config)).serialize());
  let servers = new Map<string, OpaqueServer>();
  let newest = '';
  useVersions(deps.versions);

  function useVersions(versions: readonly OpaqueVersion[]): void {
    servers = new Map(versions.map(({ id, keys }) => [id, servers.get(id) ?? createServer(keys)]));
    newest = versions[0]?.id ?? '';
  }

  /** Versions that were not found. They are not looked for again: the time would reveal that there is an account. */
  const gone = new Set<string>();

  /** Undefined for a version that was dropped. */
  async function serverFor(keyId: string): Promise<OpaqueServer | undefined> {
    if (!servers.has(keyId) && !gone.has(keyId)) {
      await lookForVersions?.();
      if (!servers.has(keyId)) gone.add(keyId);
    }
    return servers.get(keyId);
  }

  // Each answer blocks the event loop for some milliseconds, so other work must be let through between two of them.
  const turn = createTurns();

  return {
    useVersions,
    hasVersion: (keyId) => servers.has(keyId),
    async registerInit(request, credentialId) {
      const message = decode(RegistrationRequest, request, 'registrationRequest');
      assertPoint(message.data);
      await turn();
      const keyId = newest;
      const server = servers.get(keyId);
      if (!server) throw new Error('there is no OPAQUE key');
      const response = must(await server.registerInit(message, credentialId));
      return { response: toBase64url(response.serialize()), keyId };
    },
    registerFinish(record) {
      const message = decode(RegistrationRecord, record, 'registrationRecord');
      assertPoint(message.client_public_key);
      return { bytes: Uint8Array.from(message.serialize()), suite, stretching };
    },
    async loginInit(ke1, credential, usernameKey) {
      const message = decode(KE1, ke1, 'ke1');
      assertPoint(message.request.data);
      assertPoint(message.auth_init.client_keyshare);
      const unknownId = keyedHash(unknownNameKey, usernameKey).subarray(0, 18).toString('base64url');
      const known = await serverFor(credential?.opaqueKeyId ?? newest);
      const [server, credentialId, bytes] =
        credential && known
          ? [known, credential.credentialId, credential.opaqueRecord]
          : [fakeServer, unknownId, fake];
      const record = RegistrationRecord.deserialize(config, [...bytes]);
      await turn();
      const { ke2, expected } = must(
        await server.authInit(message, record, credentialId, undefined, OPAQUE_CONTEXT),
      );
      return { ke2: toBase64url(ke2.serialize()), expected: toBase64url(expected.serialize()) };
    },
    loginFinish(ke3, expected) {
      const state = ExpectedAuthResult.deserialize(config, [...Buffer.from(expected, 'base64url')]);
      return !(fakeServer.authFinish(decode(KE3, ke3, 'ke3'), state) instanceof Error);
    },
  };
}

const createServer = ({ seed, privateKey, publicKey }: OpaqueKeys): OpaqueServer =>
  new OpaqueServer(config, [...seed], { private_key: [...privateKey], public_key: [...publicKey] });

interface Message<T> {
  deserialize(cfg: typeof config, bytes: number[]): T;
}

/** Reads a message. Checks its exact length before anything is parsed. Throws AppError 400. */
function decode<T>(message: Message<T>, text: string, name: keyof typeof MESSAGE_BYTES): T {
  const bytes = fromBase64url(text, MESSAGE_BYTES[name]);
  if (!bytes) throw malformed();
  try {
    return message.deserialize(config, [...bytes]);
  } catch {
    throw malformed();
  }
}

const malformed = () => invalidRequest('The OPAQUE message is not well formed.');

/**
 * Gives the same error for every invalid point: identity, off the curve, out of range, bad prefix. It is checked
 * before the protocol runs. So an error inside the protocol is our fault, and is not reported as the client's.
 */
function assertPoint(compressed: Uint8Array): void {
  try {
    uncompressedPoint(compressed);
  } catch {
    throw malformed();
  }
}

function must<T>(result: T | Error): T {
  if (result instanceof Error) throw result;
  return result;
}
