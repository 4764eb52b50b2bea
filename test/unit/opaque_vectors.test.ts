// OPAQUE's vectors: the draft's own for P-256, and whole exchanges made by the stock library. Run against that library,
// with its own arithmetic and with OpenSSL's, and against the server and the pages' client as they are in production.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { startLogin, startRegistration } from '../../src/browser/opaque_client.ts';
import { installNativeGroup, type Num, replaceGroupFunctions } from '../../src/opaque/native_group.ts';
import { createOpaque } from '../../src/opaque/opaque.ts';
import { MESSAGE_BYTES } from '../../src/opaque/wire.ts';
import { Group, native, stock } from '../differential/native_group.ts';
import {
  type Client,
  createLibraryClient,
  createRandomness,
  exchange,
  fromHex,
  type Inputs,
  makeLibraryServer,
  type Outputs,
  stretchings,
  type Vector,
} from '../differential/opaque_vectors.ts';

interface DraftVector {
  config: Record<string, string>;
  inputs: Record<string, string>;
  outputs: Record<string, string>;
}

const words = (text: string) => text.trim().split(/\s+/);
const INPUTS =
  words(`stretching context server_identity client_identity oprf_seed server_private_key server_public_key
  credential_identifier unknown_name_key username_key registration_typed registration_password login_typed
  login_password randomness tampered`);
const RANDOMNESS = words('server_start client_registration client_login server_login');
const OUTPUTS =
  words(`registration_request registration_response registration_record registration_export_key ke1 ke2
  expected ke3 export_key session_key refused_by error`);
const DRAFT_OUTPUTS =
  words(`KE1 KE2 KE3 export_key registration_request registration_response registration_upload
  session_key`);
const DRAFT_SERVER = words(`credential_identifier masking_nonce oprf_seed server_keyshare server_nonce
  server_private_key server_private_keyshare server_public_key`);
const DRAFT_CLIENT =
  words(`blind_login blind_registration client_keyshare client_nonce client_private_keyshare
  envelope_nonce password`);
const DRAFT_FAKE = words('KE1 client_private_key client_public_key masking_key');
/** What every one of the draft's vectors has to say; it is what the library does. */
const SUITE = {
  Context: Buffer.from('OPAQUE-POC').toString('hex'),
  ...{ Group: 'P256_XMD:SHA-256_SSWU_RO_', Hash: 'SHA256', KDF: 'HKDF-SHA256', MAC: 'HMAC-SHA256' },
  ...{ MHF: 'Identity', Name: '3DH', OPRF: '0003' },
  ...{ Nh: '32', Nm: '32', Nok: '32', Npk: '33', Nsk: '32', Nx: '32' },
};

/** A field that is missing, or that the runner would pass over, is an error. */
function assertFields(value: object, fields: string[], where: string): void {
  expect(Object.keys(value).sort(), where).toEqual(fields.toSorted());
}

function load<V>(file: string, assertVector: (vector: V) => void): V[] {
  const data = JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8'));
  assertFields(data, ['source', 'vectors'], file);
  expect(data.source).not.toBe('');
  data.vectors.forEach(assertVector);
  return data.vectors;
}

function assertVector(vector: Vector): void {
  const { name, inputs, outputs } = vector;
  assertFields(vector, ['name', 'inputs', 'outputs'], name);
  assertFields(inputs, INPUTS, name);
  assertFields(inputs.randomness, RANDOMNESS, name);
  if (inputs.tampered) assertFields(inputs.tampered, ['message', 'offset'], name);
  assertFields(outputs, OUTPUTS, name);
}

function assertDraftVector(vector: DraftVector): void {
  const { config, inputs, outputs } = vector;
  assertFields(vector, ['config', 'inputs', 'outputs'], 'draft');
  expect({ ...config, Fake: '' }).toEqual({ ...SUITE, Fake: '' });
  const fake = config.Fake === 'True';
  const identities = ['client_identity', 'server_identity'].filter((field) => field in inputs);
  assertFields(
    inputs,
    [...DRAFT_SERVER, ...(fake ? DRAFT_FAKE : DRAFT_CLIENT), ...identities],
    'draft inputs',
  );
  assertFields(outputs, fake ? ['KE2'] : DRAFT_OUTPUTS, 'draft outputs');
}

const vectors = load<Vector>('opaque_p256.json', assertVector);
const draftVectors = load<DraftVector>('opaque_draft_07.json', assertDraftVector);
const real = draftVectors.filter((vector) => vector.config.Fake === 'False');
const fakes = draftVectors.filter((vector) => vector.config.Fake === 'True');

/** The server's half as in production; the draft's vectors say nothing of unknown names. */
const createServer = (inputs: Inputs) =>
  createOpaque(
    {
      seed: fromHex(inputs.oprf_seed),
      privateKey: fromHex(inputs.server_private_key),
      publicKey: fromHex(inputs.server_public_key),
    },
    fromHex(inputs.unknown_name_key ?? ''),
  );

function createPagesClient(inputs: Inputs): Client {
  const stretch = stretchings[inputs.stretching];
  return {
    async register(password) {
      const { request, finish } = await startRegistration(password, stretch);
      return { request, finish: async (response) => ({ record: await finish(response) }) };
    },
    async login(password) {
      const { ke1, finish } = await startLogin(password, stretch);
      return { ke1, finish: async (ke2) => (await finish(ke2).then((ke3) => ke3 && { ke3 })) || undefined };
    },
  };
}

describe('the files', () => {
  test('hold every sort of case', () => {
    const sorts = vectors.map(({ inputs: { stretching, tampered }, outputs: { refused_by, error } }) =>
      [stretching, tampered?.message ?? 'untouched', refused_by ? `${refused_by}: ${error}` : 'success'].join(
        ', ',
      ),
    );
    expect(new Set(sorts)).toEqual(
      new Set([
        'identity, untouched, success',
        'scrypt, untouched, success',
        'identity, untouched, client: EnvelopeRecoveryError',
        'identity, ke2, client: EnvelopeRecoveryError',
        'identity, ke2, client: handshake error',
        'identity, ke3, server: handshake error',
      ]),
    );
    expect(vectors.filter(({ inputs }) => inputs.registration_typed === null)).toHaveLength(1);
    expect(vectors.some(({ inputs }) => inputs.login_typed !== inputs.login_typed.normalize('NFC'))).toBe(
      true,
    );
    expect([vectors.length, real.length, fakes.length]).toEqual([13, 2, 1]);
  });

  test('are refused with a field too many or too few', () => {
    const [vector, draft] = [vectors[0] as Vector, real[0] as DraftVector];
    const { inputs, outputs } = vector;
    const { error: _, ...fewer } = outputs;
    const randomness = { ...inputs.randomness, another: [] };
    for (const wrong of [
      { ...vector, comment: '' },
      { ...vector, inputs: { ...inputs, another: '' } },
      { ...vector, inputs: { ...inputs, randomness } },
      { ...vector, inputs: { ...inputs, tampered: { message: 'ke3' as const, offset: 0, bit: 1 } } },
      { ...vector, outputs: fewer as Outputs },
    ])
      expect(() => assertVector(wrong)).toThrow();
    expect(() => assertDraftVector({ ...draft, config: { ...draft.config, Nh: '64' } })).toThrow();
    expect(() => assertDraftVector({ ...draft, inputs: { ...draft.inputs, another: '' } })).toThrow();
  });

  test.each(vectors)('agree with themselves: $name', ({ inputs, outputs }) => {
    const utf8 = (text: string) => Buffer.from(text.normalize('NFC')).toString('hex');
    expect(inputs.login_password).toBe(utf8(inputs.login_typed));
    expect(inputs.registration_password).toBe(inputs.registration_typed && utf8(inputs.registration_typed));
    expect(outputs.export_key).toBe(outputs.ke3 && outputs.registration_export_key);
    const expected = Buffer.from(outputs.expected, 'base64url').toString('hex');
    const proof = Buffer.from(outputs.ke3 ?? '', 'base64url').toString('hex');
    if (outputs.ke3) expect(expected).toBe(`${proof}${outputs.session_key}`);
  });
});

describe.each(Object.entries({ stock, native }))('the library on %s arithmetic', (_, functions) => {
  beforeAll(() => replaceGroupFunctions(Group, functions));

  test.each(vectors)('$name', { timeout: 60_000 }, async ({ inputs, outputs }) => {
    const client = createLibraryClient(inputs);
    expect(await exchange(inputs, () => makeLibraryServer(inputs), client, 'password')).toEqual(outputs);
  });

  test.each(real)("the draft's vector for $inputs.oprf_seed", { timeout: 60_000 }, async (vector) => {
    const inputs = draftInputs(vector);
    const client = createLibraryClient(inputs);
    const outputs = await withGivenScalars(() =>
      exchange(inputs, () => makeLibraryServer(inputs), client, 'password'),
    );
    expect(outputs).toEqual(draftOutputs(vector));
  });

  test.each(fakes)("the draft's fake record for $inputs.oprf_seed", async (vector) => {
    const ke2 = await answerToFake(vector, makeLibraryServer);
    expect(ke2).toBe(vector.outputs.KE2);
  });
});

describe('the server and the client as in production', () => {
  beforeAll(async () => {
    // Installed once per process; the runs above have taken it out again.
    expect(await installNativeGroup()).toBe(true);
    replaceGroupFunctions(Group, native);
  });

  test.each(vectors)('$name', { timeout: 60_000 }, async ({ inputs, outputs }) => {
    const seen = await exchange(inputs, () => createServer(inputs), createPagesClient(inputs), 'typed');
    const unseen = { registration_export_key: null, export_key: null, session_key: null, error: null };
    expect(seen).toEqual({ ...outputs, ...unseen });
  });

  // The draft's context and identities are not Cypher's: they go into the last field of KE2, its MAC, alone.
  const upToMac = (hex = '') => hex.slice(0, 2 * (MESSAGE_BYTES.ke2 - MESSAGE_BYTES.ke3));

  test.each(real)("the draft's vector for $inputs.oprf_seed, up to KE2's MAC", async (vector) => {
    const inputs = draftInputs(vector);
    const expected = draftOutputs(vector);
    const credentialId = inputs.credential_identifier;
    const randomness = createRandomness(Object.values(inputs.randomness.server_start));
    const server = await randomness.during(() => createServer(inputs));
    const response = await server.registerInit(expected.registration_request ?? '', credentialId);
    expect(response).toBe(expected.registration_response);
    const opaqueRecord = server.registerFinish(expected.registration_record ?? '').bytes;
    const atLogin = createRandomness(inputs.randomness.server_login);
    const { ke2 } = await withGivenScalars(() =>
      atLogin.during(() => server.loginInit(expected.ke1, { credentialId, opaqueRecord }, '')),
    );
    expect(upToMac(hexOf(ke2))).toBe(upToMac(vector.outputs.KE2));
  });

  test.each(fakes)("the draft's fake record for $inputs.oprf_seed, up to KE2's MAC", async (vector) => {
    const ke2 = await answerToFake(vector, createServer);
    expect(ke2).toHaveLength(2 * MESSAGE_BYTES.ke2);
    expect(upToMac(ke2)).toBe(upToMac(vector.outputs.KE2));
  });
});

const toWire = (hex = '') => Buffer.from(hex, 'hex').toString('base64url');
const hexOf = (wire: string) => Buffer.from(wire, 'base64url').toString('hex');
const textOf = (hex = '') => Buffer.from(hex, 'hex').toString();

/** The draft gives scalars themselves where the library hashes what it draws: they are taken as drawn. */
async function withGivenScalars<T>(run: () => Promise<T>): Promise<T> {
  const prototype = Group.prototype as unknown as { randomScalar(): Promise<Num> };
  const spy = vi.spyOn(prototype, 'randomScalar').mockImplementation(async () => {
    return new Group('P-256').deserializeScalar(crypto.getRandomValues(new Uint8Array(32)));
  });
  try {
    return await run();
  } finally {
    spy.mockRestore();
  }
}

function draftInputs({ config, inputs }: DraftVector): Inputs {
  const given = (...fields: string[]) => fields.map((field) => inputs[field] ?? '');
  return {
    stretching: 'identity',
    context: textOf(config.Context),
    server_identity: inputs.server_identity ? textOf(inputs.server_identity) : null,
    client_identity: inputs.client_identity ? textOf(inputs.client_identity) : null,
    oprf_seed: inputs.oprf_seed ?? '',
    server_private_key: inputs.server_private_key ?? '',
    server_public_key: inputs.server_public_key ?? '',
    credential_identifier: textOf(inputs.credential_identifier),
    unknown_name_key: null,
    username_key: null,
    registration_typed: textOf(inputs.password),
    registration_password: inputs.password ?? '',
    login_typed: textOf(inputs.password),
    login_password: inputs.password ?? '',
    randomness: {
      // For the fake record made at the start, which the draft's vectors do not use.
      server_start: ['01', '02'].map((byte) => byte.repeat(32)),
      client_registration: given('blind_registration', 'envelope_nonce'),
      client_login: given('blind_login', 'client_nonce', 'client_private_keyshare'),
      server_login: given('masking_nonce', 'server_nonce', 'server_private_keyshare'),
    },
    tampered: null,
  };
}

function draftOutputs({ outputs }: DraftVector): Outputs {
  return {
    registration_request: toWire(outputs.registration_request),
    registration_response: toWire(outputs.registration_response),
    registration_record: toWire(outputs.registration_upload),
    registration_export_key: outputs.export_key ?? '',
    ke1: toWire(outputs.KE1),
    ke2: toWire(outputs.KE2),
    expected: toWire(`${outputs.KE3}${outputs.session_key}`),
    ke3: toWire(outputs.KE3),
    export_key: outputs.export_key ?? '',
    session_key: outputs.session_key ?? '',
    refused_by: null,
    error: null,
  };
}

/** KE2, in hex, for a fake record of the vector: public key, masking key and an envelope of zeros. */
async function answerToFake(
  vector: DraftVector,
  makeServer: (inputs: Inputs) => ReturnType<typeof makeLibraryServer>,
): Promise<string> {
  const inputs = draftInputs(vector);
  const { client_public_key, masking_key, KE1 } = vector.inputs;
  const randomness = createRandomness([...inputs.randomness.server_start, ...inputs.randomness.server_login]);
  const server = await randomness.during(() => makeServer(inputs));
  const credential = {
    credentialId: inputs.credential_identifier,
    opaqueRecord: fromHex(`${client_public_key}${masking_key}${'00'.repeat(64)}`),
  };
  const { ke2 } = await withGivenScalars(() =>
    randomness.during(() => server.loginInit(toWire(KE1), credential, '')),
  );
  randomness.assertSpent();
  return hexOf(ke2);
}
