// Whole OPAQUE exchanges made by the stock library, run by that library, with its own arithmetic and with OpenSSL's, and
// by the server and the pages' client as they are in production: byte for byte.

import { beforeAll, describe, expect, test } from 'vitest';
import * as sourceClient from '../../src/browser/opaque_client.ts';
import { groupFunctions, installNativeGroup, replaceGroupFunctions } from '../../src/opaque/native_group.ts';
import { Group, native, stock } from '../differential/native_group.ts';
import {
  type Client,
  createLibraryClient,
  exchange,
  type Inputs,
  makeLibraryServer,
  makeProductionServer,
  type Outputs,
  stretchings,
  type Vector,
} from '../differential/opaque_exchange.ts';
import { loadPagesClient, type PagesClient } from '../support/pages_client.ts';
import { assertFields, loadVectors } from '../support/vectors.ts';

const words = (text: string) => text.trim().split(/\s+/);
const INPUTS =
  words(`stretching context server_identity client_identity oprf_seed server_private_key server_public_key
  credential_identifier unknown_name_key username_key registration_typed registration_password login_typed
  login_password randomness tampered`);
const RANDOMNESS = words('server_start client_registration client_login server_login');
const OUTPUTS =
  words(`registration_request registration_response registration_record registration_export_key ke1 ke2
  expected ke3 export_key session_key refused_by error`);

function assertVector(vector: Vector): void {
  assertFields(vector, ['name', 'inputs', 'outputs']);
  assertFields(vector.inputs, INPUTS);
  assertFields(vector.inputs.randomness, RANDOMNESS);
  if (vector.inputs.tampered) assertFields(vector.inputs.tampered, ['message', 'offset']);
  assertFields(vector.outputs, OUTPUTS);
}

const vectors = loadVectors('opaque_p256.json', assertVector);

describe('the file', () => {
  test('holds every sort of case', () => {
    const sorts = vectors.map(({ inputs, outputs }) => {
      const end = outputs.refused_by ? `${outputs.refused_by}: ${outputs.error}` : 'success';
      return `${inputs.stretching}, ${inputs.tampered?.message ?? 'untouched'}, ${end}`;
    });
    expect([...new Set(sorts)].sort()).toEqual([
      'identity, ke2, client: EnvelopeRecoveryError',
      'identity, ke2, client: handshake error',
      'identity, ke3, server: handshake error',
      'identity, untouched, client: EnvelopeRecoveryError',
      'identity, untouched, success',
      'scrypt, untouched, success',
    ]);
    const typed = vectors.map(({ inputs }) => inputs.registration_typed);
    expect(typed.filter((password) => password === null)).toHaveLength(1);
    expect(typed.filter((password) => password !== null && password !== password.normalize())).toHaveLength(
      1,
    );
    expect(vectors).toHaveLength(13);
  });

  test('is refused with a field too many or too few', () => {
    const vector = vectors[0] as Vector;
    const { inputs, outputs } = vector;
    const { error: _, ...fewer } = outputs;
    const tampered = { message: 'ke3' as const, offset: 0, bit: 1 };
    expect(() => assertVector(vector)).not.toThrow();
    for (const wrong of [
      { ...vector, comment: '' },
      { ...vector, inputs: { ...inputs, another: '' } },
      { ...vector, inputs: { ...inputs, randomness: { ...inputs.randomness, another: [] } } },
      { ...vector, inputs: { ...inputs, tampered } },
      { ...vector, outputs: fewer as Outputs },
    ])
      expect(() => assertVector(wrong)).toThrow();
  });

  test.each(vectors)('agrees with itself: $name', ({ inputs, outputs }) => {
    const utf8 = (text: string) => Buffer.from(text.normalize('NFC')).toString('hex');
    expect(inputs.login_password).toBe(utf8(inputs.login_typed));
    expect(inputs.registration_password).toBe(inputs.registration_typed && utf8(inputs.registration_typed));
    expect(outputs.export_key).toBe(outputs.ke3 && outputs.registration_export_key);
    const [expected, ke3] = [outputs.expected, outputs.ke3 ?? ''].map((wire) =>
      Buffer.from(wire, 'base64url'),
    );
    if (outputs.ke3) expect(expected?.toString('hex')).toBe(`${ke3?.toString('hex')}${outputs.session_key}`);
  });
});

describe.each(Object.entries({ stock, native }))('the library on %s arithmetic', (_, functions) => {
  beforeAll(() => replaceGroupFunctions(Group, functions));

  test.each(vectors)('$name', async ({ inputs, outputs }) => {
    const client = createLibraryClient(inputs);
    expect(await exchange(inputs, () => makeLibraryServer(inputs), client, 'password')).toEqual(outputs);
  });
});

function createPagesClient(
  inputs: Inputs,
  { startLogin, startRegistration }: PagesClient = sourceClient,
): Client {
  const stretch = stretchings[inputs.stretching];
  return {
    async register(password) {
      const { request, finish } = await startRegistration(password, stretch);
      return { request, finish: async (response) => ({ record: await finish(response) }) };
    },
    async login(password) {
      const { ke1, finish } = await startLogin(password, stretch);
      const answer = async (ke2: string) => {
        const ke3 = await finish(ke2);
        return ke3 === undefined ? undefined : { ke3 };
      };
      return { ke1, finish: answer };
    },
  };
}

describe('the server and the client as in production', () => {
  beforeAll(async () => {
    replaceGroupFunctions(Group, stock);
    expect(await installNativeGroup()).toBe(true);
    expect(groupFunctions(Group).mul).not.toBe(stock.mul);
  });

  test.each(vectors)('$name', async ({ inputs, outputs }) => {
    const seen = await exchange(
      inputs,
      () => makeProductionServer(inputs),
      createPagesClient(inputs),
      'typed',
    );
    const unseen = { registration_export_key: null, export_key: null, session_key: null, error: null };
    expect(seen).toEqual({ ...outputs, ...unseen });
  });
});

describe("the client as the pages' worker has it, with its own arithmetic, and the server as in production", () => {
  let client: PagesClient;
  beforeAll(async () => {
    client = await loadPagesClient();
  });

  test.each(vectors)('$name', async ({ inputs, outputs }) => {
    const seen = await exchange(
      inputs,
      () => makeProductionServer(inputs),
      createPagesClient(inputs, client),
      'typed',
    );
    const unseen = { registration_export_key: null, export_key: null, session_key: null, error: null };
    expect(seen).toEqual({ ...outputs, ...unseen });
  });
});
