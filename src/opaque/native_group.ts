/**
 * P-256 for the OPAQUE server on OpenSSL: five functions of voprf-ts' `Group` replaced, nothing else of the protocol.
 * Owns the replacement, its self-check and the refusal of points in a second encoding. Called once, by whoever makes the
 * OPAQUE server. P-384, P-521 and the few arguments OpenSSL has no answer for go to the stock functions.
 *
 * ECDH in node:crypto tells only x of kP. With x1 = x(kP), x2 = x((k+1)P), the y of kP follows from P = (x, y):
 *   y1 = (2b + (a + x*x1)(x + x1) - x2*(x - x1)^2) / 2y
 * (E. Brier, M. Joye, "Weierstrass Elliptic Curves and Side-Channel Attacks", PKC 2002; Handbook of Elliptic and
 * Hyperelliptic Curve Cryptography, 13.2.3.b.) It holds for k = 1, where x1 = x, and for k = n-2, where x2 = x. k = n-1
 * has no (k+1)P and is stock's. 2y is never 0, the order of P-256 being odd.
 *
 * Constant time: OpenSSL's multiplications, the only place where the bits of k decide anything, and k+1. Not constant
 * time: V8's BigInt, the conversion from and to sjcl's numbers (nor is stock), OpenSSL's decompression of points, which
 * are public. BigInt sees P, which is public, and x1 and x2: sent to the client anyway in the OPRF, one login's shared
 * secret in 3DH, and in both no help towards k short of a discrete logarithm. Each call blinds them by a factor of its
 * own, from the first product to the last, so the one long computation, the inverse, runs on a random number. What
 * is left, conversions and two products of four words, depends on the values through leading zeros and the rare
 * correction step of a division. The OPRF key's inverse is blinded likewise.
 */
import { createECDH, ECDH, hash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';

/** sjcl's number: limbs of 24 bits, the least first. */
export interface Num {
  limbs: number[];
  normalize(): Num;
  fullReduce(): Num;
  greaterEquals(that: Num | number): number;
  sub(that: Num | number): Num;
  equals(that: Num | number): boolean;
  mod(modulus: Num): Num;
  _class: new (from: { limbs: number[] }) => Num;
}
/** sjcl's affine point; the identity has no x and y. */
export interface Point {
  curve: { field: new (from: { limbs: number[] }) => Num };
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
export interface VoprfGroup extends Omit<GroupFunctions, 'mul'> {
  id: string;
  curve: Point['curve'];
  order(): Num;
  identity(): Point;
  generator(): Point;
  serialize(point: Point, compressed?: boolean): Uint8Array;
  deserialize(bytes: Uint8Array): Point;
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
  const pointOf = (x: Uint8Array, y: Uint8Array): Point => {
    const coordinates = { x: new p256.curve.field(toLimbs(x)), y: new p256.curve.field(toLimbs(y)) };
    return Object.assign(p256.identity(), coordinates, { isIdentity: false });
  };
  const uncompressed = (bytes: Uint8Array) => pointOf(bytes.subarray(1, 33), bytes.subarray(33));
  const below = (k: Num, bound: Num) => !k.normalize().greaterEquals(bound) && !k.equals(0);

  return {
    mul(k, point) {
      const ours = point.curve === p256.curve && !point.isIdentity && below(k, nMinus1);
      if (!ours) return stock.mul(k, point);
      const [x, y] = [toBytes(point.x.fullReduce()), toBytes(point.y.fullReduce())];
      const encoded = Buffer.concat([Uint8Array.of(4), x, y]);
      const scalar = toBytes(k);
      const ecdh = createECDH(name);
      ecdh.setPrivateKey(scalar);
      const x1 = ecdh.computeSecret(encoded);
      ecdh.setPrivateKey(increment(scalar));
      const x2 = ecdh.computeSecret(encoded);
      const y1 = recoverY(toBigInt(x), toBigInt(y), toBigInt(x1), toBigInt(x2));
      return pointOf(x1, fromBigInt(y1));
    },
    mulBase(k) {
      if (this.id !== 'P-256' || !below(k, order)) return stock.mulBase.call(this, k);
      const ecdh = createECDH(name);
      ecdh.setPrivateKey(toBytes(k));
      return uncompressed(ecdh.getPublicKey());
    },
    deserComp(bytes) {
      if (this.id !== 'P-256') return stock.deserComp.call(this, bytes);
      let point: Buffer;
      try {
        point = ECDH.convertKey(bytes, name, undefined, undefined, 'uncompressed') as Buffer;
      } catch {
        throw new Error('point not in curve');
      }
      return uncompressed(point);
    },
    invScalar(k) {
      const unfit = this.id !== 'P-256' || k.normalize().limbs.length > 11 || k.equals(0) || k.equals(order);
      if (unfit) return stock.invScalar.call(this, k);
      const blind = randomBelow(n);
      const inverse = (blind * invert((toBigInt(toBytes(k)) * blind) % n, n)) % n;
      return new order._class(toLimbs(fromBigInt(inverse)));
    },
    async hashToScalar(message, dst) {
      if (this.id !== 'P-256' || dst.length > 255) return stock.hashToScalar.call(this, message, dst);
      return new order._class(toLimbs(expandMessage(message, dst))).mod(order);
    },
  };
}

/** Whether both give the same points, inverses and refusals, for scalars at the edges and one at random. */
export function agree(Group: VoprfGroupClass, one: GroupFunctions, other: GroupFunctions): boolean {
  const group = new Group('P-256');
  const off = Buffer.from(`02${'01'.padStart(64, '0')}`, 'hex');
  const observe = (use: GroupFunctions, k: Num) => {
    const base = use.mulBase.call(group, k);
    const again = use.deserComp.call(group, group.serialize(base));
    const points = [base, again, use.mul(k, again)].map((point) => group.serialize(point, false));
    return Buffer.concat([...points, group.serializeScalar(use.invScalar.call(group, k))]);
  };
  const refuses = (use: GroupFunctions) => {
    try {
      return !use.deserComp.call(group, off);
    } catch {
      return true;
    }
  };
  try {
    return (
      [randomBelow(n), n - 2n].every((scalar) => {
        const k = () => group.deserializeScalar(fromBigInt(scalar));
        return observe(one, k()).equals(observe(other, k()));
      }) &&
      refuses(one) &&
      refuses(other)
    );
  } catch {
    return false;
  }
}

let native: boolean | undefined;

/**
 * Puts P-256 on OpenSSL for the whole process, if it agrees with the stock functions; else leaves these, made strict.
 * A second call changes nothing.
 * @returns whether OpenSSL is in use
 */
export function installNativeGroup(): boolean {
  if (native !== undefined) return native;
  const Group = loadVoprfGroup();
  const strict = strictFunctions(Group);
  const openssl = nativeFunctions(Group, strict);
  native = agree(Group, openssl, strict);
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

/** Extended Euclid: as long as its input makes it. Public or blinded numbers only. */
function invert(number: bigint, modulus: bigint): bigint {
  let [r0, r1, t0, t1] = [modulus, number, 0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1, t0, t1] = [r1, r0 - quotient * r1, t1, t0 - quotient * t1];
  }
  return modulo(t0, modulus);
}

function modulo(number: bigint, modulus: bigint): bigint {
  const rest = number % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/** In [1, modulus), a bias of 2^-32 being nothing to a blinding factor. */
function randomBelow(modulus: bigint): bigint {
  return (toBigInt(randomBytes(32)) % (modulus - 1n)) + 1n;
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

/** 32 bytes, big-endian, of a normalized number below 2^256: eleven limbs are 33 bytes. */
function toBytes(number: Num): Buffer {
  const bytes = Buffer.alloc(33);
  for (let i = 0; i < 11; i++) bytes.writeUIntBE(number.limbs[i] ?? 0, 30 - 3 * i, 3);
  return bytes.subarray(1);
}

function toLimbs(bytes: Uint8Array): { limbs: number[] } {
  const limbs = Math.ceil(bytes.length / 3);
  const padded = Buffer.concat([Buffer.alloc(3 * limbs - bytes.length), bytes]);
  return { limbs: Array.from({ length: limbs }, (_, i) => padded.readUIntBE(3 * (limbs - 1 - i), 3)) };
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`);
}

function fromBigInt(number: bigint): Buffer {
  return Buffer.from(number.toString(16).padStart(64, '0'), 'hex');
}
