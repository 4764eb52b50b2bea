/**
 * Makes test/vectors/opaque_p256.json with the library as it comes: the same file each time, keys and randomness being
 * derived from the cases' names. Run: node test/differential/opaque_vectors.ts
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { keyedHash } from '../../src/lib/crypto.ts';
import {
  config,
  createLibraryClient,
  exchange,
  type Inputs,
  makeLibraryServer,
  toHex,
  type Vector,
} from './opaque_exchange.ts';

interface Case {
  name: string;
  /** What randomness and keys are derived from: two cases of one seed differ in nothing else. */
  seed?: string;
  stretching?: 'scrypt';
  registration: string | null;
  login?: string;
  tampered?: Inputs['tampered'];
}

const staple = 'correct horse battery staple';
// With a ligature, which NFC keeps and NFKC would not.
const accented = 'Äpfel, Crème brûlée, ﬁn, 한글'.normalize('NFC');
/** Offsets of KE2 as in wire.ts: 65 is the masked response's first byte, 194 the key share's, 258 the MAC's last. */
const cases: Case[] = [
  { name: 'ASCII password', registration: staple },
  { name: 'password typed in NFC', seed: 'normalization', registration: accented },
  {
    name: 'the same password typed in NFD',
    seed: 'normalization',
    registration: accented.normalize('NFD'),
  },
  { name: 'registered in NFC, logged in with NFD', registration: accented, login: accented.normalize('NFD') },
  { name: 'long password', registration: staple.repeat(40) },
  { name: 'emoji password', registration: '👩‍👩‍👧‍👦🔑🏴‍☠️ twelve and more 🦄' },
  { name: 'password stretched by scrypt', stretching: 'scrypt', registration: staple },
  { name: 'wrong password', registration: staple, login: 'correct horse battery stable' },
  { name: 'unknown user', registration: null, login: staple },
  {
    name: 'KE2 with another masked response',
    registration: staple,
    tampered: { message: 'ke2', offset: 65 },
  },
  { name: 'KE2 with another key share', registration: staple, tampered: { message: 'ke2', offset: 194 } },
  { name: 'KE2 with another MAC', registration: staple, tampered: { message: 'ke2', offset: 258 } },
  { name: 'KE3 with another MAC', registration: staple, tampered: { message: 'ke3', offset: 31 } },
];

async function makeVector({ name, seed = name, registration, login, ...rest }: Case): Promise<Vector> {
  const derive = (what: string, length: number) =>
    createHash('shake256', { outputLength: length }).update(`cypher opaque vector ${seed}: ${what}`).digest();
  const draws = (what: string, ...lengths: number[]) =>
    lengths.map((length, i) => derive(`${what} ${i}`, length).toString('hex'));
  const known = registration !== null;
  const typed = login ?? registration ?? '';
  const utf8 = (password: string) => Buffer.from(password.normalize('NFC')).toString('hex');
  const keys = await config.ake.deriveAuthKeyPair(Uint8Array.from(derive('server key', 32)));
  const [unknownNameKey, usernameKey] = [derive('unknown name key', 32), 'nobody'];
  const identifier = known
    ? derive('credential', 18)
    : keyedHash(unknownNameKey, usernameKey).subarray(0, 18);
  const inputs: Inputs = {
    stretching: rest.stretching ?? 'identity',
    context: 'cypher-v1',
    server_identity: null,
    client_identity: null,
    oprf_seed: derive('OPRF seed', 32).toString('hex'),
    server_private_key: toHex(keys.private_key),
    server_public_key: toHex(keys.public_key),
    credential_identifier: identifier.toString('base64url'),
    unknown_name_key: known ? null : unknownNameKey.toString('hex'),
    username_key: known ? null : usernameKey,
    registration_typed: registration,
    registration_password: known ? utf8(registration) : null,
    login_typed: typed,
    login_password: utf8(typed),
    // Scalars are drawn as 48 bytes each. The client's: blind, envelope nonce; blind, nonce, key share. The server's:
    // the fake record's key and masking key; masking nonce, nonce, key share.
    randomness: {
      server_start: draws('server start', 32, 32),
      client_registration: known ? draws('client registration', 48, 32) : [],
      client_login: draws('client login', 48, 32, 48),
      server_login: draws('server login', 32, 32, 48),
    },
    tampered: rest.tampered ?? null,
  };
  const server = () => makeLibraryServer(inputs);
  const outputs = await exchange(inputs, server, createLibraryClient(inputs), 'password');
  return { name, inputs, outputs };
}

const vectors: Vector[] = [];
for (const each of cases) vectors.push(await makeVector(each));
const source =
  'made by test/differential/opaque_vectors.ts with stock @cloudflare/opaque-ts 0.7.5 (draft-irtf-cfrg-opaque-07, ' +
  'P-256) and the randomness given';
// In ASCII, lest an editor normalizes what was typed.
const text = JSON.stringify({ source, vectors }, null, 2).replace(
  /[^\0-\x7f]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
);
writeFileSync(new URL('../vectors/opaque_p256.json', import.meta.url), `${text}\n`);
