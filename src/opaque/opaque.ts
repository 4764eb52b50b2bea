/**
 * The server's side of OPAQUE (draft 07, suite P-256), over @cloudflare/opaque-ts. Messages come and go in the wire
 * format of wire.ts. It keeps no state, reads no account and never sees a password. Called by the interaction's steps.
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
/** What the pages' client stretches the password with: opaque-ts' ScryptMemHardFn. */
const stretching = { function: 'scrypt', N: 32768, r: 8, p: 1 };

/** The secrets: a 32-byte OPRF seed and the server's long-term key pair. */
export interface OpaqueKeys {
  seed: Uint8Array;
  privateKey: Uint8Array;
  publicKey: Uint8Array;
}

/** One version of the secrets. An account's record works with the one that it was made with. */
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
  /** RegistrationRequest → RegistrationResponse by the newest version. Throws AppError 400 for a message that is none. */
  registerInit(request: string, credentialId: string): Promise<{ response: string; keyId: string }>;
  /** A finished record's bytes, its form and public key checked, with what it was made by. Throws AppError 400. */
  registerFinish(record: string): OpaqueRecord;
  /** Whether records of this version work. */
  hasVersion(keyId: string): boolean;
  /**
   * KE1 → KE2, and the state that KE3 is checked against. Without a credential (unknown name), or one whose version was
   * dropped, it answers from a constant fake record under an identifier that is fixed for the name: the same work, the
   * same shape. Throws AppError 400.
   */
  loginInit(
    ke1: string,
    credential: Credential | undefined,
    usernameKey: string,
  ): Promise<{ ke2: string; expected: string }>;
  /** True where KE3 is the expected one: the client knows the password. Throws AppError 400. */
  loginFinish(ke3: string, expected: string): boolean;
  /** From now on these versions, the newest first. */
  useVersions(versions: readonly OpaqueVersion[]): void;
}

/** What is stored of a password: the suite and stretching let a login move it to newer ones. */
export interface OpaqueRecord {
  bytes: Uint8Array;
  suite: string;
  stretching: object;
}

const config = withSyncHashes(getOpaqueConfig(OpaqueID.OPAQUE_P256));

/** Fresh keys for a new installation. */
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
   * What unknown names are answered with. Not one of the versions: with these an unknown name's answers would change when
   * one of them goes, while an account's stay as they are until its password is changed, and that would tell them apart.
   */
  fakeKeys: OpaqueKeys;
  /** Maps unknown names to their fixed credential identifiers. */
  unknownNameKey: Uint8Array;
  /** Asked before the version of an account is taken for dropped: another instance may have made it a moment ago. */
  lookForVersions?: () => Promise<void>;
}

/** The server's side, with one set of versions at a time. */
export async function createOpaque(deps: OpaqueDeps): Promise<Opaque> {
  const { fakeKeys, unknownNameKey, lookForVersions } = deps;
  const fakeServer = createServer(fakeKeys);
  // Made once: deriving it takes as long as a quarter of a login, which would tell unknown names from known ones.
  const fake = Buffer.from((await RegistrationRecord.createFake(config)).serialize());
  let servers = new Map<string, OpaqueServer>();
  let newest = '';
  useVersions(deps.versions);

  function useVersions(versions: readonly OpaqueVersion[]): void {
    servers = new Map(versions.map(({ id, keys }) => [id, servers.get(id) ?? createServer(keys)]));
    newest = versions[0]?.id ?? '';
  }

  /** Looked for once: an account whose version is gone must not be known by the time that another look takes. */
  const gone = new Set<string>();

  /** Undefined for a version that was dropped. */
  async function serverFor(keyId: string): Promise<OpaqueServer | undefined> {
    if (!servers.has(keyId) && !gone.has(keyId)) {
      await lookForVersions?.();
      if (!servers.has(keyId)) gone.add(keyId);
    }
    return servers.get(keyId);
  }

  // Each answer holds the event loop for some milliseconds: the more wait, the more the others would.
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

/** Reads a message; its exact length is checked before anything is parsed. Throws AppError 400. */
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
 * One answer for every wrong point: identity, off the curve, out of range, bad prefix. Checked before the protocol runs,
 * so that an error inside it is a fault of ours and is not taken for the client's.
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
