/**
 * P-256 for the OPAQUE server on OpenSSL, for speed: five functions of voprf-ts' `Group` are replaced, and nothing else of the
 * protocol. This file owns the replacement, its self-check and the refusal of points in a second encoding. P-384, P-521 and the
 * few arguments that OpenSSL cannot compute go to the stock functions.
 *
 * A login/init takes 2 ms of the event loop with it and 105 ms without (`npm run bench -- --only opaque`).
 * `test/unit/native_group.test.ts` compares it with the stock functions, and the self-check does at each start. To delete it,
 * remove the call of `installNativeGroup`, and keep `strictFunctions`.
 *
 * ECDH in node:crypto tells only x of kP. With x1 = x(kP), x2 = x((k+1)P), the y of kP follows from P = (x, y):
 *   y1 = (2b + (a + x*x1)(x + x1) - x2*(x - x1)^2) / 2y
 * (E. Brier, M. Joye, "Weierstrass Elliptic Curves and Side-Channel Attacks", PKC 2002; Handbook of Elliptic and
 * Hyperelliptic Curve Cryptography, 13.2.3.b.) It holds for k = 1, where x1 = x, and for k = n-2, where x2 = x. k = n-1
 * has no (k+1)P and is stock's. 2y is never 0, the order of P-256 being odd.
 *
 * Constant time: OpenSSL's multiplications, the only loop over the bits of k, and k+1. Not constant
 * time: V8's BigInt, the conversion from and to sjcl's numbers (nor is stock), OpenSSL's decompression of points, which
 * are public. BigInt sees P, which is public, and x1 and x2. In the OPRF the client gets x1 anyway; in 3DH it is a shared
 * secret, for the server's own key one that a client can have computed again by repeating its key share. Neither helps
 * towards k short of a discrete logarithm. So each call blinds them by a factor of its own, from the first product
 * to the last: the one long computation, the inverse, runs on a random number, and no repeat is the same work. What is
 * left, conversions and the products at both ends, four words each, depends on the values by leading zeros and a
 * division's rare correction step. Scalars meet such arithmetic in two places only: invScalar, where an OPRF key is
 * blinded likewise and so seen by two conversions and two products, and hashToScalar, where a conversion sees it at either
 * end and a random multiple of n is added before the division.
 */
import { createECDH, hash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { invert, modulo, randomBelow, toBigInt, toHex } from './modular.ts';
import { uncompressedPoint } from './points.ts';

/** sjcl's number: limbs of 24 bits, the least first. */
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
/** What is replaced. `deserComp` throws for whatever is not the one encoding of a point. */
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

/** The `Group` of the very copy of voprf-ts that opaque-ts imports, wherever npm has put it. */
export function loadVoprfGroup(): VoprfGroupClass {
  const opaque = createRequire(import.meta.url).resolve('@cloudflare/opaque-ts');
  return createRequire(opaque)('@cloudflare/voprf-ts').Group;
}

/** The functions that `Group` has now. */
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
 * Stock, but strict: stock's deserComp takes x >= p and reduces it, so one point has two encodings (SEC 1, 2.3.4 and
 * 2.3.6, refuses it).
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

/** The functions on OpenSSL; `stock` answers for the other curves and for k = 0, k = n-1, k >= n and the identity. */
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
    // k may be n or more: voprf-ts adds two scalars without reducing the sum.
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
      // With a random multiple of n on top the quotient is random, and so is what the division does.
      return new order._class(toHex((number + n * toBigInt(randomBytes(48))) % n));
    },
  };
}

/**
 * What the functions make of a scalar at the edge and one of no kind, and which points they refuse, as one hash. Throws
 * where they refuse what they must take.
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
  // No point has x = 1; x = 5 has one, so p + 5 would be its second encoding.
  for (const x of [1n, p + 5n]) {
    try {
      use.deserComp.call(group, Buffer.concat([Uint8Array.of(2), Buffer.from(toHex(x), 'hex')]));
    } catch {
      seen.push(Uint8Array.of(0));
    }
  }
  return hash('sha256', Buffer.concat(seen));
}

/** What `selfCheckOf` gives for the strict stock functions: asking them at each start would take 100 ms. */
export const stockSelfCheck = '074b2f46df5f33b190a2fc9a9da8b233ce769813e79728c1eeb2ee85a406956f';

let installed: Promise<boolean> | undefined;

/**
 * Puts P-256 on OpenSSL for the whole process, if it gives what the stock functions do; else leaves these, made strict.
 * To be awaited before the first OPAQUE message; a second call changes nothing.
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

/** y of kP, by the formula above times r^3: r*x, r*x1 and r*x2 stand for x, x1 and x2. */
function recoverY(x: bigint, y: bigint, x1: bigint, x2: bigint): bigint {
  const r = randomBelow(p);
  const [rx, rx1, rx2, r2] = [(r * x) % p, (r * x1) % p, (r * x2) % p, (r * r) % p];
  const r3 = (r2 * r) % p;
  const square = (rx - rx1) ** 2n % p;
  const numerator = 2n * b * r3 + (a * r2 + rx * rx1) * (rx + rx1) - rx2 * square;
  return (modulo(numerator, p) * invert((2n * y * r3) % p, p)) % p;
}

/** expand_message_xmd of RFC 9380, 5.3.1, with SHA-256, to 48 bytes: here a thread of WebCrypto costs more than the hash. */
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

/** k + 1, big-endian, in the same steps whatever k is. k < 2^256 - 1. */
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

/** The low 32 or 33 bytes, big-endian, of a normalized number; 33 are eleven limbs. The same steps for any number. */
function toBytes(number: Num, length: 32 | 33): Buffer {
  const bytes = Buffer.alloc(33);
  for (let i = 0; i < 11; i++) bytes.writeUIntBE(number.limbs[i] ?? 0, 30 - 3 * i, 3);
  return bytes.subarray(33 - length);
}
