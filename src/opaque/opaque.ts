/**
 * The server's side of OPAQUE (draft 07, suite P-256), over @cloudflare/opaque-ts. Bytes in, bytes out: it keeps no
 * state, reads no account and never sees a password. Called by the interaction's steps.
 */
import { ECDH } from 'node:crypto';
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
import { OPAQUE_CONTEXT } from './wire.ts';

/** Stored with every record, so that a login can move it to a newer suite. */
export const opaqueSuite = 'draft-07/P256-SHA256';
export const opaqueStretching = { function: 'scrypt', N: 32768, r: 8, p: 1 } as const;

/** The secrets: a 32-byte OPRF seed and the server's long-term key pair. */
export interface OpaqueKeys {
  seed: Uint8Array;
  privateKey: Uint8Array;
  publicKey: Uint8Array;
}

export interface Credential {
  credentialId: string;
  opaqueRecord: Uint8Array;
}

export interface Opaque {
  /** RegistrationRequest → RegistrationResponse. Throws AppError 400 for a point that is none. */
  registerInit(request: Uint8Array, credentialId: string): Promise<Uint8Array>;
  /** Checks a finished record's form and its public key before it is stored. Throws AppError 400. */
  checkRecord(record: Uint8Array): void;
  /**
   * KE1 → KE2, and the KE3 to expect. Without a credential (unknown name) it answers from a constant fake record under
   * an identifier that is fixed for the name: the same work, the same shape. Throws AppError 400.
   */
  loginInit(
    ke1: Uint8Array,
    credential: Credential | undefined,
    usernameKey: string,
  ): Promise<{ ke2: Uint8Array; expected: Uint8Array }>;
  /** True where KE3 is the expected one: the client knows the password. */
  loginFinish(ke3: Uint8Array, expected: Uint8Array): boolean;
}

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);

/** Fresh keys for a new installation. */
export async function generateOpaqueKeys(): Promise<OpaqueKeys> {
  const pair = await config.ake.generateAuthKeyPair();
  return {
    seed: Uint8Array.from(config.prng.random(config.hash.Nh)),
    privateKey: Uint8Array.from(pair.private_key),
    publicKey: Uint8Array.from(pair.public_key),
  };
}

/** `unknownNameKey` maps unknown names to their fixed credential identifiers. */
export async function createOpaque(keys: OpaqueKeys, unknownNameKey: Uint8Array): Promise<Opaque> {
  const server = new OpaqueServer(config, [...keys.seed], {
    private_key: [...keys.privateKey],
    public_key: [...keys.publicKey],
  });
  // Made once: deriving it takes as long as a quarter of a login, which would tell unknown names from known ones.
  const fake = Uint8Array.from((await RegistrationRecord.createFake(config)).serialize());

  return {
    async registerInit(request, credentialId) {
      const message = decode(RegistrationRequest, request);
      assertPoint(message.data);
      const response = must(await server.registerInit(message, credentialId));
      return Uint8Array.from(response.serialize());
    },
    checkRecord(record) {
      const { client_public_key } = decode(RegistrationRecord, record);
      assertPoint(client_public_key);
    },
    async loginInit(ke1, credential, usernameKey) {
      const credentialId = keyedHash(unknownNameKey, usernameKey).subarray(0, 18).toString('base64url');
      const { opaqueRecord, ...known } = credential ?? { credentialId, opaqueRecord: fake };
      const message = decode(KE1, ke1);
      assertPoint(message.request.data);
      assertPoint(message.auth_init.client_keyshare);
      const record = decode(RegistrationRecord, opaqueRecord);
      const answer = must(
        await server.authInit(message, record, known.credentialId, undefined, OPAQUE_CONTEXT),
      );
      return {
        ke2: Uint8Array.from(answer.ke2.serialize()),
        expected: Uint8Array.from(answer.expected.serialize()),
      };
    },
    loginFinish(ke3, expected) {
      const result = server.authFinish(decode(KE3, ke3), decode(ExpectedAuthResult, expected));
      return !(result instanceof Error);
    },
  };
}

interface Message<T> {
  deserialize(cfg: typeof config, bytes: number[]): T;
}

function decode<T>(message: Message<T>, bytes: Uint8Array): T {
  try {
    return message.deserialize(config, [...bytes]);
  } catch {
    throw invalidRequest('The OPAQUE message is not well formed.');
  }
}

/**
 * One answer for every wrong point: identity, off the curve, out of range, bad prefix. Checked before the protocol runs,
 * so that an error inside it is a fault of ours and is not taken for the client's.
 */
function assertPoint(compressed: Uint8Array): void {
  try {
    ECDH.convertKey(compressed, 'prime256v1');
  } catch {
    throw invalidRequest('The OPAQUE message is not well formed.');
  }
}

function must<T>(result: T | Error): T {
  if (result instanceof Error) throw result;
  return result;
}
