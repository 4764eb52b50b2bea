import {
  getOpaqueConfig,
  IdentityMemHardFn,
  KE1,
  OpaqueClient,
  OpaqueID,
  OpaqueServer,
} from '@cloudflare/opaque-ts';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  type GroupFunctions,
  groupFunctions,
  installNativeGroup,
  type Point,
  replaceGroupFunctions,
  selfCheckOf,
  stockSelfCheck,
} from '../../src/opaque/native_group.ts';
import {
  compare,
  createScalars,
  Group,
  group,
  native,
  pointHex,
  scalarHex,
  stock,
  strict,
} from '../differential/native_group.ts';
import { bytes, encoding, n, p, wrongPoints } from '../differential/points.ts';

const scalar = (k: bigint) => group.deserializeScalar(bytes(k));
const next = createScalars('unit');

function using<T>(functions: GroupFunctions, run: () => T): T {
  const before = groupFunctions(Group);
  replaceGroupFunctions(Group, functions);
  try {
    return run();
  } finally {
    replaceGroupFunctions(Group, before);
  }
}

/** For what is asynchronous; nothing else may use the group in the meantime. */
async function usingUntil<T>(functions: GroupFunctions, run: () => Promise<T>): Promise<T> {
  replaceGroupFunctions(Group, functions);
  try {
    return await run();
  } finally {
    replaceGroupFunctions(Group, stock);
  }
}

afterEach(() => replaceGroupFunctions(Group, stock));

describe('native P-256 gives what stock gives', () => {
  test('for a sample of scalars and points', async () => {
    const { compared, differing } = await compare(150, 'sample');
    expect(compared).toBe(5 * 150);
    expect(differing).toEqual([]);
  });

  test.each([1n, 2n, 3n, (n - 1n) / 2n, n - 3n, n - 2n, n - 1n, 2n ** 128n, 2n ** 232n, 255n])(
    'for the scalar %d',
    (edge) => {
      const point = native.mulBase.call(group, next());
      expect(pointHex(native.mul(scalar(edge), point))).toBe(pointHex(stock.mul(scalar(edge), point)));
      expect(pointHex(native.mulBase.call(group, scalar(edge)))).toBe(
        pointHex(stock.mulBase.call(group, scalar(edge))),
      );
      const inverses = [native, stock].map((each) => each.invScalar.call(group, scalar(edge)));
      expect(new Set(inverses.map(scalarHex)).size).toBe(1);
      const onG = [native, stock].map((each) => each.mul(scalar(edge), group.generator()));
      expect(new Set(onG.map(pointHex)).size).toBe(1);
    },
  );

  test('for k = 0, the identity, and scalars of n and more', () => {
    const point = native.mulBase.call(group, next());
    expect(native.mul(scalar(0n), point).isIdentity).toBe(true);
    expect(native.mulBase.call(group, scalar(0n)).isIdentity).toBe(true);
    expect(native.mul(next(), group.identity()).isIdentity).toBe(true);
    expect(native.mul(group.order(), point).isIdentity).toBe(true);
    const [k, l] = [next(), scalar(n - 2n)];
    const beyond = group.addScalar(k, l);
    expect(pointHex(native.mul(beyond, point))).toBe(pointHex(stock.mul(beyond, point)));
    expect(scalarHex(native.invScalar.call(group, beyond))).toBe(
      scalarHex(stock.invScalar.call(group, beyond)),
    );
    for (const zero of [scalar(0n), group.order(), group.addScalar(scalar(n - 2n), scalar(2n))])
      for (const each of [native, stock]) expect(() => each.invScalar.call(group, zero)).toThrow();
  });

  test.each([
    ['x', 2],
    ['y', 66],
  ] as const)('for points and results whose %s begins with a zero byte', (_, offset) => {
    let point: Point;
    do point = native.mulBase.call(group, next());
    while (pointHex(point).slice(offset, offset + 2) !== '00');
    const compressed = group.serialize(point);
    expect(pointHex(native.deserComp.call(group, compressed))).toBe(pointHex(point));
    expect(pointHex(stock.deserComp.call(group, compressed))).toBe(pointHex(point));
    const k = next();
    const part = native.mul(native.invScalar.call(group, k), point);
    expect(pointHex(native.mul(k, part))).toBe(pointHex(point));
    expect(pointHex(stock.mul(k, part))).toBe(pointHex(point));
    expect(pointHex(native.mul(k, point))).toBe(pointHex(stock.mul(k, point)));
  });

  test('for x = 0 and x = 5, the least that have points', () => {
    for (const x of [0n, 5n])
      for (const prefix of ['02', '03']) {
        const points = [native, stock].map((each) => each.deserComp.call(group, encoding(prefix, x)));
        expect(new Set(points.map(pointHex)).size).toBe(1);
        const results = [native, stock].map((each) => each.mul(scalar(7n), points[0] as Point));
        expect(new Set(results.map(pointHex)).size).toBe(1);
      }
  });

  test('for P-384 and P-521, which stay stock', async () => {
    for (const id of ['P-384', 'P-521']) {
      const other = new Group(id);
      const k = await stock.hashToScalar.call(other, bytes(1n), bytes(2n));
      const results = [native, stock].map((each) =>
        Buffer.from(other.serialize(each.mulBase.call(other, k))).toString('hex'),
      );
      expect(new Set(results).size).toBe(1);
    }
  });
});

describe('wrong points are refused alike', () => {
  const refusal = (functions: GroupFunctions, point: Buffer) =>
    using(functions, () => {
      try {
        return `accepted ${pointHex(group.deserialize(point))}`;
      } catch (error) {
        return (error as Error).message;
      }
    });

  test.each(wrongPoints)('%s', (_, point) => {
    expect(refusal(native, point)).not.toMatch(/^accepted/);
    expect(refusal(native, point)).toBe(refusal(strict, point));
  });

  test('the library itself reduces x >= p, which is why stock is made strict', () => {
    expect(refusal(stock, encoding('02', p + 5n))).toMatch(/^accepted/);
  });

  test('in either place of a KE1', async () => {
    const { server, login } = await setUp();
    const { record, ke1 } = await login('alice');
    const good = ke1.serialize();
    for (const [name, point] of wrongPoints.filter(([, point]) => point.length === 33))
      for (const offset of [0, 33 + 32]) {
        const bad = [...good.slice(0, offset), ...point, ...good.slice(offset + 33)];
        const answer = () => server.authInit(KE1.deserialize(config, bad), record, 'alice');
        const outcome = (functions: GroupFunctions) =>
          usingUntil(functions, answer).catch((error: Error) => error.message);
        const refused = await outcome(native);
        expect(refused, name).toBeTypeOf('string');
        expect(await outcome(strict), name).toBe(refused);
      }
  });
});

const config = getOpaqueConfig(OpaqueID.OPAQUE_P256);

async function setUp() {
  const keys = config.ake.recoverPublicKey(group.serializeScalar(scalar(n - 12345n)));
  const exported = { private_key: Array.from(keys.private_key), public_key: Array.from(keys.public_key) };
  const seed = Array.from(bytes(77n));
  const server = new OpaqueServer(config, seed, exported);
  // Random values that repeat: two answers to one question can be compared byte for byte.
  const still = getOpaqueConfig(OpaqueID.OPAQUE_P256);
  const ephemeral = still.ake.recoverPublicKey(group.serializeScalar(scalar(98765n)));
  const repeating = Object.assign(still, {
    prng: { random: (length: number) => new Array<number>(length).fill(9) },
    ake: Object.assign(still.ake, {
      generateAuthKeyPair: async () => ({
        private_key: Array.from(ephemeral.private_key),
        public_key: Array.from(ephemeral.public_key),
      }),
    }),
  });
  return {
    server,
    repeatingServer: new OpaqueServer(repeating, seed, exported),
    login: async (user: string, functions = native) => {
      const client = new OpaqueClient(config, IdentityMemHardFn);
      const request = must(await client.registerInit('correct horse battery'));
      const response = must(await usingUntil(functions, () => server.registerInit(request, user)));
      const { record } = must(await client.registerFinish(response));
      const ke1 = must(await client.authInit('correct horse battery'));
      return { client, request, record, ke1 };
    },
  };
}

function must<T>(value: T | Error): T {
  if (value instanceof Error) throw value;
  return value;
}

describe('the OPAQUE server', () => {
  test('answers the same bytes to the same registration and login', async () => {
    const { repeatingServer, login } = await setUp();
    for (const user of ['alice', 'bob', 'carol', 'dave', 'erin', 'frank']) {
      const { request, record, ke1 } = await login(user);
      const answer = async () => {
        const response = must(await repeatingServer.registerInit(request, user));
        const { ke2, expected } = must(
          await repeatingServer.authInit(ke1, record, user, undefined, 'cypher-v1'),
        );
        return [response, ke2, expected].map((message) => Buffer.from(message.serialize()).toString('hex'));
      };
      expect(await usingUntil(native, answer)).toEqual(await usingUntil(stock, answer));
    }
  });

  const both = { stock, native };
  const ways = (['stock', 'native'] as const).flatMap((registration) =>
    (['stock', 'native'] as const).map((start) => [registration, start] as const),
  );
  test.each(ways)('registers with %s and logs in with %s, the client being stock', async (first, second) => {
    const { server, login } = await setUp();
    const { client, record, ke1 } = await login('alice', both[first]);
    const { ke2, expected } = must(
      await usingUntil(both[second], () => server.authInit(ke1, record, 'alice', undefined, 'cypher-v1')),
    );
    const { ke3, session_key } = must(await client.authFinish(ke2, undefined, undefined, 'cypher-v1'));
    expect(must(server.authFinish(ke3, expected)).session_key).toEqual(session_key);
  });
});

describe('installation', () => {
  test('the self-check refuses arithmetic that is wrong in any one function', async () => {
    expect(await selfCheckOf(Group, strict)).toBe(stockSelfCheck);
    expect(await selfCheckOf(Group, native)).toBe(stockSelfCheck);
    const k = scalar(3n);
    const faults: GroupFunctions[] = [
      { ...native, mul: (l, point) => native.mul(group.addScalar(l, k), point) },
      { ...native, mul: () => group.identity() },
      { ...native, mulBase: (l) => native.mulBase.call(group, group.addScalar(l, k)) },
      { ...native, deserComp: () => group.generator() },
      { ...native, deserComp: stock.deserComp },
      { ...native, invScalar: () => k },
      { ...native, hashToScalar: async () => k },
      {
        ...native,
        mul: () => {
          throw new Error('no such curve');
        },
      },
    ];
    for (const fault of faults)
      expect(await selfCheckOf(Group, fault).catch(() => 'refused')).not.toBe(stockSelfCheck);
  });

  test('reaches the Group that opaque-ts uses, once', async () => {
    const [first, second] = await Promise.all([installNativeGroup(), installNativeGroup()]);
    expect([first, second]).toEqual([true, true]);
    const installed = groupFunctions(Group);
    expect(await installNativeGroup()).toBe(true);
    expect(groupFunctions(Group)).toEqual(installed);
    for (const name of ['mul', 'mulBase', 'deserComp', 'invScalar', 'hashToScalar'] as const)
      expect(installed[name], name).not.toBe(stock[name]);
    const mul = vi.spyOn(Group, 'mul');
    const client = new OpaqueClient(config, IdentityMemHardFn);
    await client.registerInit('correct horse battery');
    expect(mul).toHaveBeenCalledOnce();
    mul.mockRestore();
  });
});
