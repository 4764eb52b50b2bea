/**
 * P-256 for OPAQUE in the browser, on @noble/curves. The build puts this module in the place of voprf-ts' `group.js`,
 * whose plain JavaScript takes more than ten times as long (see `fastOpaque` in build_plugins.ts). It owns the names that
 * the client side of voprf-ts and opaque-ts use of that module, and none of their protocol. It has no P-384, no P-521
 * and nothing that only a server needs.
 *
 * Every result is byte for byte that of `group.js`, with one exception: as on the server, a point's x must be below p.
 * test/unit/p256_group.test.ts compares them.
 *
 * Secret scalars meet noble's constant-time algorithms alone: `multiply`, which also blinds them, and `invertCt`. As
 * noble says, BigInt itself gives no guarantee of constant time. `group.js` does not try.
 */
import { invertCt } from '@noble/curves/abstract/modular.js';
import { p256, p256_hasher } from '@noble/curves/nist.js';
import { bytesToNumberBE, concatBytes } from '@noble/curves/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';

const { Point } = p256;
const { Fn } = Point;
type Element = InstanceType<typeof Point>;

export class SerializedElt extends Uint8Array {}
export class SerializedScalar extends Uint8Array {}

export const GroupID = { P256: 'P-256', P384: 'P-384', P521: 'P-521' } as const;

export class Group {
  readonly size = 32;

  constructor(id: string) {
    if (id !== GroupID.P256) throw new Error(`group not implemented: ${id}`);
  }

  serialize(element: Element, compressed = true): SerializedElt {
    return new SerializedElt(element.is0() ? [0] : element.toBytes(compressed));
  }

  /** Throws unless the bytes are the one valid encoding of a point on the curve, compressed or not. */
  deserialize(bytes: Uint8Array): Element {
    if (bytes.length === 1 && bytes[0] === 0) return Point.ZERO;
    return Point.fromBytes(Uint8Array.from(bytes));
  }

  serializeScalar(k: bigint): SerializedScalar {
    return new SerializedScalar(Fn.toBytes(k));
  }

  /** Throws unless the bytes are a number below the order. */
  deserializeScalar(bytes: Uint8Array): bigint {
    return Fn.fromBytes(Uint8Array.from(bytes));
  }

  /** Throws for 0. */
  invScalar(k: bigint): bigint {
    return invertCt(k, Fn.ORDER);
  }

  // noble refuses 0, which no honest run has.
  static mul(k: bigint, element: Element): Element {
    return k === 0n || element.is0() ? Point.ZERO : element.multiply(k);
  }

  mulBase(k: bigint): Element {
    return Group.mul(k, Point.BASE);
  }

  randomScalar(): Promise<bigint> {
    return this.hashToScalar(crypto.getRandomValues(new Uint8Array(48)), new Uint8Array());
  }

  async hashToScalar(message: Uint8Array, dst: Uint8Array): Promise<bigint> {
    return Fn.create(bytesToNumberBE(expandMessage(message, dst)));
  }

  async hashToGroup(message: Uint8Array, dst: Uint8Array): Promise<Element> {
    return p256_hasher.hashToCurve(message, { DST: dst });
  }
}

/** expand_message_xmd of RFC 9380, 5.3.1, with SHA-256, to 48 bytes. noble's own refuses the empty `dst`, which voprf-ts uses. */
function expandMessage(message: Uint8Array, dst: Uint8Array): Uint8Array {
  const suffix = concatBytes(dst, Uint8Array.of(dst.length));
  const b0 = sha256(concatBytes(new Uint8Array(64), message, Uint8Array.of(0, 48, 0), suffix));
  const b1 = sha256(concatBytes(b0, Uint8Array.of(1), suffix));
  const mixed = b0.map((byte, i) => byte ^ (b1[i] ?? 0));
  const b2 = sha256(concatBytes(mixed, Uint8Array.of(2), suffix));
  return concatBytes(b1, b2).subarray(0, 48);
}
