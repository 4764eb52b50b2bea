/**
 * P-256 for the OPAQUE server on OpenSSL, for speed. It replaces five functions of voprf-ts' `Group` and nothing else
 * of the protocol. This file owns the replacement, its self-check, and the refusal of points in a second encoding.
 * The stock functions still compute P-384, P-521 and the few arguments that OpenSSL cannot compute.
 *
 * A login/init takes 2 ms of the event loop with it and 105 ms without (`npm run bench -- --only opaque`).
 * `test/unit/native_group.test.ts` compares it with the stock functions, and so does the self-check at each start. To
 * delete it, remove the call of `installNativeGroup`, and keep `strictFunctions`.
 *
 * ECDH in node:crypto returns only the x of kP. The y of kP follows from P = (x, y), x1 = x(kP) and x2 = x((k+1)P):
 *   y1 = (2b + (a + x*x1)(x + x1) - x2*(x - x1)^2) / 2y
 * (E. Brier, M. Joye, "Weierstrass Elliptic Curves and Side-Channel Attacks", PKC 2002; Handbook of Elliptic and
 * Hyperelliptic Curve Cryptography, 13.2.3.b.) The formula also holds for k = 1, where x1 = x, and for k = n-2, where
 * x2 = x. For k = n-1 there is no (k+1)P, so the stock function computes it. 2y is never 0, because the order of
 * P-256 is odd.
 *
 * OpenSSL's multiplications and the computation of k+1 are constant time. No other code loops over the bits of k.
 * V8's BigInt, the conversions from and to sjcl's numbers, and OpenSSL's decompression of points are not constant
 * time. The decompressed points are public. The stock functions are not constant time either.
 *
 * BigInt sees P, which is public, and x1 and x2. In the OPRF the client receives x1 anyway. In 3DH x1 is a shared
 * secret. A client that repeats its key share makes the server compute the same secret again with its own key.
 * Neither value reveals k without a discrete logarithm. To hide x1 and x2 as well, each call blinds them by a random
 * factor, from the first product to the last. So the one long computation, the inverse, runs on a random number, and
 * a repeated call does different work. What remains are the conversions and the products at both ends, of four words
 * each. Their time depends on the values only by leading zeros and by the rare correction step of a division.
 *
 * Scalars meet such arithmetic in two places only. invScalar blinds an OPRF key in the same way, so only two
 * conversions and two products see it. hashToScalar adds a random multiple of n before the division, so only the
 * conversions at both ends see the scalar.
 */
import { createECDH, hash } from 'node:crypto';
import { createRequire } from 'node:module';
import { randomBytes } from '../lib/crypto.ts';
import { invert, modulo, randomBelow, toBigInt, toHex } from './modular.ts';
import { uncompressedPoint } from './points.ts';

/** sjcl's number: limbs of 24 bits, the least significant first. */
export interface Num {
  limbs: number[];
  normalize(): Num;
  fullReduce(): Num;
  greaterEquals(that: Num | number): number;
  sub(that: Num | number): Num;
  equals(that: Num | number): boolean;
  mod(modulus: Num): Num;
  _class: new (hex: string) => Num;
}
/** sjcl's affine point; the identity has no x and y. */
export interface Point {
  curve: { field: new (hex: string) => Num };
  isIdentity: boolean;
  x: Num;
  y: Num;
}
/** The functions that are replaced. `deserComp` throws for bytes that are not the one valid encoding of a point. */
export interface GroupFunctions {
  mul(k: Num, point: Point): Point;
  mulBase(this: VoprfGroup, k: Num): Point;
  deserComp(this: VoprfGroup, bytes: Uint8Array): Point;
  invScalar(this: VoprfGroup, k: Num): Num;
  hashToScalar(this: VoprfGroup, message: Uint8Array, dst: Uint8Array): Promise<Num>;
}
interface VoprfGroup extends Omit<GroupFunctions, 'mul'> {
  id: string;
  curve: Point['curve'];
  order(): Num;
  identity(): Point;
  generator(): Point;
  serialize(point: Point, compressed?: boolean): Uint8Array;
  deserialize(bytes: Uint8Array): Point;
  addScalar(k: Num, l: Num): Num;
  serializeScalar(k: Num): Uint8Array;
  deserializeScalar(bytes: Uint8Array): Num;
}
export interface VoprfGroupClass {
  new (id: string): VoprfGroup;
  mul: GroupFunctions['mul'];
  prototype: VoprfGroup;
}

const name = 'prime256v1';
const p = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const a = -3n;
const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/** The `Group` of the copy of voprf-ts that opaque-ts itself imports, wherever npm has installed it. */
export function loadVoprfGroup(): VoprfGroupClass {
  const opaque = createRequire(import.meta.url).resolve('@cloudflare/opaque-ts');
  return createRequire(opaque)('@cloudflare/voprf-ts').Group;
}

/** The functions that `Group` has at present. */
export function groupFunctions(Group: VoprfGroupClass): GroupFunctions {
  const { mulBase, deserComp, invScalar, hashToScalar } = Group.prototype;
  return { mul: Group.mul, mulBase, deserComp, invScalar, hashToScalar };
}

/** Puts the functions into `Group`. */
export function replaceGroupFunctions(Group: VoprfGroupClass, { mul, ...methods }: GroupFunctions): void {
  Group.mul = mul;
  Object.assign(Group.prototype, methods);
}

/**
 * The stock functions with a strict `deserComp`. The stock one accepts x >= p and reduces it, so a point has two
 * encodings. SEC 1, 2.3.4 and 2.3.6, requires that it is refused.
 */
export function strictFunctions(Group: VoprfGroupClass): GroupFunctions {
  const stock = groupFunctions(Group);
  return {
    ...stock,
    deserComp(bytes) {
      if (this.id === 'P-256' && toBigInt(bytes.subarray(1)) >= p) throw new Error('point not in curve');
      return stock.deserComp.call(this, bytes);
    },
  };
}

/** The functions on OpenSSL. `stock` computes the other curves, k = 0, k = n-1, k >= n and the identity. */
export function nativeFunctions(Group: VoprfGroupClass, stock: GroupFunctions): GroupFunctions {
  const p256 = new Group('P-256');
  const order = p256.order();
  const nMinus1 = order.sub(1).normalize();
  const { field } = p256.curve;
  const pointOf = (x: string, y: string): Point =>
    Object.assign(p256.identity(), { x: new field(x), y: new field(y), isIdentity: false });
  const uncompressed = (hex: string) => pointOf(hex.slice(2, 66), hex.slice(66));
  const below = (k: Num, bound: Num) => !k.normalize().greaterEquals(bound) && !k.equals(0);

  return {
    mul(k, point) {
      const ours = point.curve === p256.curve && !point.isIdentity && below(k, nMinus1);
      if (!ours) return stock.mul(k, point);
      const [x, y] = [toBytes(point.x.fullReduce(), 32), toBytes(point.y.fullReduce(), 32)];
      const encoded = Buffer.concat([Uint8Array.of(4), x, y]);
      const scalar = toBytes(k, 32);
      const ecdh = createECDH(name);
      ecdh.setPrivateKey(scalar);
      const x1 = ecdh.computeSecret(encoded);
      ecdh.setPrivateKey(increment(scalar));
      const x2 = ecdh.computeSecret(encoded);
      const y1 = recoverY(toBigInt(x), toBigInt(y), toBigInt(x1), toBigInt(x2));
      return pointOf(x1.toString('hex'), toHex(y1));
    },
    mulBase(k) {
      if (this.id !== 'P-256' || !below(k, order)) return stock.mulBase.call(this, k);
      const ecdh = createECDH(name);
      ecdh.setPrivateKey(toBytes(k, 32));
      return uncompressed(ecdh.getPublicKey('hex'));
    },
    deserComp(bytes) {
      if (this.id !== 'P-256') return stock.deserComp.call(this, bytes);
      return uncompressed(uncompressedPoint(bytes));
    },
    // k may be n or larger, because voprf-ts adds two scalars without reducing the sum.
    invScalar(k) {
      if (this.id !== 'P-256' || k.normalize().limbs.length > 11) return stock.invScalar.call(this, k);
      const blind = randomBelow(n);
      const blinded = (toBigInt(toBytes(k, 33)) * blind) % n;
      if (blinded === 0n) return stock.invScalar.call(this, k);
      return new order._class(toHex((blind * invert(blinded, n)) % n));
    },
    async hashToScalar(message, dst) {
      if (this.id !== 'P-256' || dst.length > 255) return stock.hashToScalar.call(this, message, dst);
      const number = toBigInt(expandMessage(message, dst));
      // The random multiple of n makes the quotient random, so the division's time does not depend on the scalar.
      return new order._class(toHex((number + n * toBigInt(randomBytes(48))) % n));
    },
  };
}

/**
 * One hash over what the functions compute for two scalars, one of them at the edge, and over the points that they
 * refuse. Rejects if they refuse a valid argument.
 */
export async function selfCheckOf(Group: VoprfGroupClass, use: GroupFunctions): Promise<string> {
  const group = new Group('P-256');
  const seen: Uint8Array[] = [];
  for (const number of [n - 2n, n / 3n]) {
    const scalar = Buffer.from(toHex(number), 'hex');
    const k = group.deserializeScalar(scalar);
    const base = use.mulBase.call(group, k);
    const again = use.deserComp.call(group, group.serialize(base));
    const points = [base, again, use.mul(k, again)];
    const inverses = [k, group.addScalar(k, group.order())].map((each) => use.invScalar.call(group, each));
    const scalars = [...inverses, await use.hashToScalar.call(group, scalar, scalar)];
    seen.push(...points.map((point) => group.serialize(point, false)));
    seen.push(...scalars.map((each) => group.serializeScalar(each)));
  }
  // No point has x = 1. There is one with x = 5, so p + 5 would be its second encoding.
  for (const x of [1n, p + 5n]) {
    try {
      use.deserComp.call(group, Buffer.concat([Uint8Array.of(2), Buffer.from(toHex(x), 'hex')]));
    } catch {
      seen.push(Uint8Array.of(0));
    }
  }
  return hash('sha256', Buffer.concat(seen));
}

/** The result of `selfCheckOf` for the strict stock functions. To compute it at each start would take 100 ms. */
export const stockSelfCheck = '074b2f46df5f33b190a2fc9a9da8b233ce769813e79728c1eeb2ee85a406956f';

let installed: Promise<boolean> | undefined;

/**
 * Installs P-256 on OpenSSL for the whole process, if the self-check gives the result of the stock functions.
 * Otherwise installs the strict stock functions. Await it before the first OPAQUE message. A second call changes
 * nothing.
 * @returns whether OpenSSL is in use
 */
export function installNativeGroup(): Promise<boolean> {
  installed ??= install();
  return installed;
}

async function install(): Promise<boolean> {
  const Group = loadVoprfGroup();
  const strict = strictFunctions(Group);
  const openssl = nativeFunctions(Group, strict);
  const native = await selfCheckOf(Group, openssl).then(
    (seen) => seen === stockSelfCheck,
    () => false,
  );
  replaceGroupFunctions(Group, native ? openssl : strict);
  return native;
}

/** The y of kP, by the formula above times r^3. r*x, r*x1 and r*x2 replace x, x1 and x2, and r is random. */
function recoverY(x: bigint, y: bigint, x1: bigint, x2: bigint): bigint {
  const r = randomBelow(p);
  const [rx, rx1, rx2, r2] = [(r * x) % p, (r * x1) % p, (r * x2) % p, (r * r) % p];
  const r3 = (r2 * r) % p;
  const square = (rx - rx1) ** 2n % p;
  const numerator = 2n * b * r3 + (a * r2 + rx * rx1) * (rx + rx1) - rx2 * square;
  return (modulo(numerator, p) * invert((2n * y * r3) % p, p)) % p;
}

/** expand_message_xmd of RFC 9380, 5.3.1, with SHA-256, to 48 bytes. WebCrypto's threads cost more than the hash. */
function expandMessage(message: Uint8Array, dst: Uint8Array): Buffer {
  const suffix = Buffer.concat([dst, Uint8Array.of(dst.length)]);
  const sha256 = (...parts: Uint8Array[]) => hash('sha256', Buffer.concat([...parts, suffix]), 'buffer');
  const b0 = sha256(Buffer.alloc(64), message, Uint8Array.of(0, 48, 0));
  const b1 = sha256(b0, Uint8Array.of(1));
  const b2 = sha256(
    b0.map((byte, i) => byte ^ b1.readUInt8(i)),
    Uint8Array.of(2),
  );
  return Buffer.concat([b1, b2]).subarray(0, 48);
}

/** k + 1, big-endian, in constant time. k must be less than 2^256 - 1. */
function increment(k: Buffer): Buffer {
  const sum = Buffer.alloc(k.length);
  let carry = 1;
  for (let i = k.length - 1; i >= 0; i--) {
    carry += k.readUInt8(i);
    sum.writeUInt8(carry & 0xff, i);
    carry >>= 8;
  }
  return sum;
}

/** The low 32 or 33 bytes of a normalized number, big-endian, in constant time. 33 bytes are eleven limbs. */
function toBytes(number: Num, length: 32 | 33): Buffer {
  const bytes = Buffer.alloc(33);
  for (let i = 0; i < 11; i++) bytes.writeUIntBE(number.limbs[i] ?? 0, 30 - 3 * i, 3);
  return bytes.subarray(33 - length);
}
