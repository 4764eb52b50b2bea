// The browser's P-256 against the stock functions of the library: byte for byte, wrong points and scalars included.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Group as BrowserGroup } from '../../src/browser/p256_group.ts';
import { replaceGroupFunctions } from '../../src/opaque/native_group.ts';
import { root } from '../../src/root.ts';
import { Group, group, stock, strict } from '../differential/native_group.ts';
import { bytes, encoding, n, p, wrongPoints } from '../differential/points.ts';

/** As both have them; the elements and scalars are their own. */
interface AnyGroup {
  serialize(element: unknown, compressed?: boolean): Uint8Array;
  deserialize(bytes: Uint8Array): unknown;
  serializeScalar(k: unknown): Uint8Array;
  deserializeScalar(bytes: Uint8Array): unknown;
  invScalar(k: unknown): unknown;
  mulBase(k: unknown): unknown;
  randomScalar(): Promise<unknown>;
  hashToScalar(message: Uint8Array, dst: Uint8Array): Promise<unknown>;
  hashToGroup(message: Uint8Array, dst: Uint8Array): Promise<unknown>;
}

const library = { group: group as unknown as AnyGroup, mul: Group.mul as (k: never, e: never) => unknown };
const browser = {
  group: new BrowserGroup('P-256') as unknown as AnyGroup,
  mul: BrowserGroup.mul as (k: never, e: never) => unknown,
};
type Side = typeof library;

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const point = ({ group }: Side, encoded: Uint8Array) => group.deserialize(encoded) as never;
const scalar = ({ group }: Side, k: Uint8Array) => group.deserializeScalar(k) as never;

/** What a side computes of a scalar, a point and a message, in hex. */
async function results(side: Side, k: Uint8Array, encoded: Uint8Array, message: Uint8Array) {
  const { group, mul } = side;
  const element = point(side, encoded);
  const product = mul(scalar(side, k), element);
  const dst = message.subarray(0, 1 + ((message[0] ?? 0) % 31));
  return {
    point: hex(group.serialize(element, false)),
    product: hex(group.serialize(product)),
    uncompressed: hex(group.serialize(product, false)),
    base: hex(group.serialize(group.mulBase(scalar(side, k)))),
    inverse: hex(group.serializeScalar(group.invScalar(scalar(side, k)))),
    scalar: hex(group.serializeScalar(await group.hashToScalar(message, dst))),
    withoutTag: hex(group.serializeScalar(await group.hashToScalar(message, new Uint8Array()))),
    hashed: hex(group.serialize(await group.hashToGroup(message, dst), false)),
  };
}

beforeAll(() => replaceGroupFunctions(Group, stock));

describe("the browser's P-256 gives what the library's gives", () => {
  test('for a sample of scalars, points and messages', async () => {
    for (let i = 0; i < 40; i++) {
      const message = crypto.getRandomValues(new Uint8Array(i * 3 + 1));
      const [k, l] = [await library.group.randomScalar(), await library.group.randomScalar()];
      const encoded = library.group.serialize(library.group.mulBase(l), i % 2 === 0);
      const of = (side: Side) => results(side, library.group.serializeScalar(k), encoded, message);
      expect(await of(browser)).toEqual(await of(library));
    }
  });

  test.each([1n, 2n, 3n, 255n, 2n ** 128n, 2n ** 232n, (n - 1n) / 2n, n - 2n, n - 1n])(
    'for the scalar %d',
    async (edge) => {
      const generator = library.group.serialize(group.generator());
      const of = (side: Side) => results(side, bytes(edge), generator, bytes(edge));
      expect(await of(browser)).toEqual(await of(library));
    },
  );

  test('for x = 0 and x = 5, the least that have points', async () => {
    for (const encoded of [0n, 5n].flatMap((x) => [encoding('02', x), encoding('03', x)])) {
      const of = (side: Side) => results(side, bytes(7n), encoded, bytes(7n));
      expect(await of(browser)).toEqual(await of(library));
    }
  });

  test('for the scalar 0 and the identity', () => {
    for (const side of [browser, library]) {
      const identity = point(side, new Uint8Array(1));
      const products = [
        side.mul(scalar(side, bytes(0n)), point(side, encoding('02', 5n))),
        side.mul(scalar(side, bytes(5n)), identity),
        side.group.mulBase(scalar(side, bytes(0n))),
      ];
      expect(products.map((product) => hex(side.group.serialize(product)))).toEqual(['00', '00', '00']);
      expect(() => side.group.invScalar(scalar(side, bytes(0n)))).toThrow();
    }
  });
});

describe('refused by both', () => {
  test.each(wrongPoints)('the point %s', (_, encoded) => {
    replaceGroupFunctions(Group, strict);
    try {
      for (const side of [browser, library]) expect(() => point(side, encoded)).toThrow();
    } finally {
      replaceGroupFunctions(Group, stock);
    }
  });

  test.each([
    ['n', bytes(n)],
    ['p', bytes(p)],
    ['2^256 - 1', bytes(2n ** 256n - 1n)],
  ])('the scalar %s', (_, k) => {
    for (const side of [browser, library]) expect(() => scalar(side, k)).toThrow();
  });

  test('P-384 and P-521, by the browser alone: no page uses them', () => {
    for (const id of ['P-384', 'P-521', ''])
      expect(() => new BrowserGroup(id)).toThrow('group not implemented');
  });
});

test("the worker's download is small: it has none of the library's own arithmetic", async () => {
  const assets = join(root, 'views/assets');
  const manifest = JSON.parse(await readFile(join(assets, 'manifest.json'), 'utf8'));
  const worker = join(assets, manifest['opaque_worker.js']);
  expect(await readFile(worker, 'utf8')).not.toContain('sjcl');
  expect((await readFile(`${worker}.gz`)).length).toBeLessThan(45_000);
});
