// The vectors of draft-irtf-cfrg-opaque-07 for P-256: run by the library, with its own arithmetic and with OpenSSL's, in
// full; and by the server as in production up to KE2's MAC, the one field of its answers that the draft's context and
// identities, which are not Cypher's, go into.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { installNativeGroup, type Num, replaceGroupFunctions } from '../../src/opaque/native_group.ts';
import { MESSAGE_BYTES } from '../../src/opaque/wire.ts';
import { Group, group, native, stock } from '../differential/native_group.ts';
import {
  createLibraryClient,
  createRandomness,
  exchange,
  fromHex,
  type Inputs,
  makeLibraryServer,
  makeProductionServer,
  type Outputs,
  type Server,
  version,
} from '../differential/opaque_exchange.ts';
import { assertFields, loadVectors } from '../support/vectors.ts';

interface Vector {
  config: Record<string, string>;
  inputs: Record<string, string>;
  outputs: Record<string, string>;
}

const words = (text: string) => text.trim().split(/\s+/);
const OUTPUTS = words(`KE1 KE2 KE3 export_key registration_request registration_response registration_upload
  session_key`);
const SERVER_INPUTS = words(`credential_identifier masking_nonce oprf_seed server_keyshare server_nonce
  server_private_key server_private_keyshare server_public_key`);
const CLIENT_INPUTS =
  words(`blind_login blind_registration client_keyshare client_nonce client_private_keyshare
  envelope_nonce password`);
const FAKE_INPUTS = words('KE1 client_private_key client_public_key masking_key');
/** What the vectors say of themselves is what the library does. */
const CONFIG = {
  Context: Buffer.from('OPAQUE-POC').toString('hex'),
  Group: 'P256_XMD:SHA-256_SSWU_RO_',
  Hash: 'SHA256',
  KDF: 'HKDF-SHA256',
  MAC: 'HMAC-SHA256',
  MHF: 'Identity',
  Name: '3DH',
  Nh: '32',
  Nm: '32',
  Nok: '32',
  Npk: '33',
  Nsk: '32',
  Nx: '32',
  OPRF: '0003',
};

function assertVector(vector: Vector): void {
  const { config, inputs, outputs } = vector;
  assertFields(vector, ['config', 'inputs', 'outputs']);
  expect(config).toEqual({ ...CONFIG, Fake: expect.stringMatching(/^(True|False)$/) });
  const fake = config.Fake === 'True';
  const identities = ['client_identity', 'server_identity'].filter((field) => field in inputs);
  assertFields(inputs, [...SERVER_INPUTS, ...(fake ? FAKE_INPUTS : CLIENT_INPUTS), ...identities]);
  assertFields(outputs, fake ? ['KE2'] : OUTPUTS);
}

const vectors = loadVectors('opaque_draft_07.json', assertVector);
const real = vectors.filter((vector) => vector.config.Fake === 'False');
const fakes = vectors.filter((vector) => vector.config.Fake === 'True');

const toWire = (hex = '') => Buffer.from(hex, 'hex').toString('base64url');
const hexOf = (wire: string) => Buffer.from(wire, 'base64url').toString('hex');
const textOf = (hex = '') => Buffer.from(hex, 'hex').toString();

/** The draft gives the scalars themselves, where the library hashes what it draws: here they are taken as drawn. */
async function withGivenScalars<T>(run: () => Promise<T>): Promise<T> {
  const prototype = Group.prototype as unknown as { randomScalar(): Promise<Num> };
  const drawn = async () => group.deserializeScalar(crypto.getRandomValues(new Uint8Array(32)));
  const spy = vi.spyOn(prototype, 'randomScalar').mockImplementation(drawn);
  try {
    return await run();
  } finally {
    spy.mockRestore();
  }
}

function inputsOf({ config, inputs }: Vector): Inputs {
  const given = (...fields: string[]) => fields.map((field) => inputs[field] ?? '');
  return {
    stretching: 'identity',
    context: textOf(config.Context),
    server_identity: textOf(inputs.server_identity) || null,
    client_identity: textOf(inputs.client_identity) || null,
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
      // For the fake record that servers make at their start and that these vectors do not use.
      server_start: ['01'.repeat(32), '02'.repeat(32)],
      client_registration: given('blind_registration', 'envelope_nonce'),
      client_login: given('blind_login', 'client_nonce', 'client_private_keyshare'),
      server_login: given('masking_nonce', 'server_nonce', 'server_private_keyshare'),
    },
    tampered: null,
  };
}

function outputsOf({ outputs }: Vector): Outputs {
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

/** The server's KE2, in hex, for the vector's KE1 and record; a fake record has an envelope of zeros. */
async function answer(vector: Vector, makeServer: (inputs: Inputs) => Promise<Server>): Promise<string> {
  const inputs = inputsOf(vector);
  const { server_start, server_login } = inputs.randomness;
  const { client_public_key, masking_key, KE1 } = vector.inputs;
  const fake = `${client_public_key}${masking_key}${'00'.repeat(64)}`;
  const opaqueRecord = fromHex(vector.outputs.registration_upload ?? fake);
  const randomness = createRandomness([...server_start, ...server_login]);
  const server = await randomness.during(() => makeServer(inputs));
  const credential = { credentialId: inputs.credential_identifier, opaqueRecord, opaqueKeyId: version };
  const ke1 = toWire(KE1 ?? vector.outputs.KE1);
  const { ke2 } = await withGivenScalars(() =>
    randomness.during(() => server.loginInit(ke1, credential, '')),
  );
  randomness.assertSpent();
  return hexOf(ke2);
}

test('there are vectors of both sorts, and a field too many is refused', () => {
  expect([real.length, fakes.length]).toEqual([2, 1]);
  const vector = vectors[0] as Vector;
  expect(() => assertVector({ ...vector, config: { ...vector.config, Nh: '64' } })).toThrow();
  expect(() => assertVector({ ...vector, config: { ...vector.config, another: '' } })).toThrow();
  expect(() => assertVector({ ...vector, inputs: { ...vector.inputs, another: '' } })).toThrow();
  expect(() => assertVector({ ...vector, outputs: { ...vector.outputs, another: '' } })).toThrow();
});

// The private keys and key shares are drawn; their public halves are in the vectors too.
test.each(vectors)('the keys of $inputs.oprf_seed are pairs', ({ inputs }) => {
  const pairs = [
    [inputs.server_private_key, inputs.server_public_key],
    [inputs.server_private_keyshare, inputs.server_keyshare],
    [
      inputs.client_private_keyshare ?? inputs.client_private_key,
      inputs.client_keyshare ?? inputs.client_public_key,
    ],
  ];
  for (const functions of [stock, native])
    for (const [secret = '', shared] of pairs) {
      const point = functions.mulBase.call(group, group.deserializeScalar(fromHex(secret)));
      expect(Buffer.from(group.serialize(point)).toString('hex')).toBe(shared);
    }
});

describe.each(Object.entries({ stock, native }))('the library on %s arithmetic', (_, functions) => {
  beforeAll(() => replaceGroupFunctions(Group, functions));

  test.each(real)('the exchange of $inputs.oprf_seed', async (vector) => {
    const inputs = inputsOf(vector);
    const [server, client] = [() => makeLibraryServer(inputs), createLibraryClient(inputs)];
    const outputs = await withGivenScalars(() => exchange(inputs, server, client, 'password'));
    expect(outputs).toEqual(outputsOf(vector));
  });

  test.each(fakes)('the fake record of $inputs.oprf_seed', async (vector) => {
    expect(await answer(vector, makeLibraryServer)).toBe(vector.outputs.KE2);
  });
});

describe('the server as in production', () => {
  const upToMac = (hex = '') => hex.slice(0, 2 * (MESSAGE_BYTES.ke2 - MESSAGE_BYTES.ke3));

  beforeAll(async () => {
    replaceGroupFunctions(Group, stock);
    expect(await installNativeGroup()).toBe(true);
  });

  test.each(vectors)('answers the KE1 of $inputs.oprf_seed', async (vector) => {
    const ke2 = await answer(vector, makeProductionServer);
    expect(ke2).toHaveLength(2 * MESSAGE_BYTES.ke2);
    expect(upToMac(ke2)).toBe(upToMac(vector.outputs.KE2));
  });

  test.each(real)('registers the record of $inputs.oprf_seed', async (vector) => {
    const inputs = inputsOf(vector);
    const server = await makeProductionServer(inputs);
    const { registration_request, registration_response, registration_record } = outputsOf(vector);
    const id = inputs.credential_identifier;
    const { response } = await server.registerInit(registration_request ?? '', id);
    expect(response).toBe(registration_response);
    const { bytes } = server.registerFinish(registration_record ?? '');
    expect(Buffer.from(bytes).toString('base64url')).toBe(registration_record);
  });
});
