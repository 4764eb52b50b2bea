// BLAKE2b (RFC 7693) for v4.local, where it is most of the work: node:crypto has no keyed BLAKE2b, and with 64-bit
// arithmetic in JavaScript a token takes ten times as long. The compression function (section 3.2) is put together
// here as a WebAssembly module: straight-line code of loads, additions, xors and rotations, so its time depends on the
// message's length and nothing else. test/unit/blake2b.test.ts holds it against another implementation.

const BLOCK_BYTES = 128;
const STATE_BYTES = 64;
/** One page: the state, then the key's block and the message, with room for the padding; far more than a token needs. */
const MEMORY_BYTES = 65_536;

// RFC 7693, section 2.6.
const IV = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
];

// RFC 7693, section 2.7; rounds 10 and 11 are rounds 0 and 1 again.
const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
// The words of the state that each G of a round mixes: the columns, then the diagonals.
const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
];

/** LEB128, as WebAssembly writes its numbers; signed ones are told from unsigned ones by their last byte's bit 6. */
function leb(value: bigint, signed: boolean): number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const ends = signed ? (rest === 0n && low < 64) || (rest === -1n && low >= 64) : rest === 0n;
  return ends ? [low] : [low | 0x80, ...leb(rest, signed)];
}
const unsigned = (value: number) => (value < 128 ? [value] : leb(BigInt(value), false));

// https://webassembly.github.io/spec/core/binary/instructions.html
const get = (local: number) => [0x20, ...unsigned(local)];
const set = (local: number) => [0x21, ...unsigned(local)];
const load = (offset: number) => [0x29, 3, ...unsigned(offset)];
const store = (offset: number) => [0x37, 3, ...unsigned(offset)];
const zero = [0x41, 0];
const constant = (word: bigint) => [0x42, ...leb(BigInt.asIntN(64, word), true)];
const [add, xor, rotateRight, extendSigned, extendUnsigned] = [0x7c, 0x85, 0x8a, 0xac, 0xad];

/** The locals of `compress(at, count, last)`: its parameters, then v[0..15], then m[0..15]. */
const [at, count, last] = [0, 1, 2];
const v = (index: number) => 3 + index;
const m = (index: number) => 19 + index;

// RFC 7693, section 2.1.
const [R1, R2, R3, R4] = [constant(32n), constant(24n), constant(16n), constant(63n)];

/** RFC 7693, section 3.1: a := a + b + x, d := (d ^ a) >>> r, c := c + d, b := (b ^ c) >>> r. */
function halfG(a: number, b: number, c: number, d: number, word: number, rotations: [number[], number[]]) {
  const turned = (target: number, by: number, rotation: number[]) => [
    ...get(target),
    ...get(by),
    xor,
    ...rotation,
    rotateRight,
    ...set(target),
  ];
  return [
    ...[...get(a), ...get(b), add, ...get(word), add, ...set(a)],
    ...turned(d, a, rotations[0]),
    ...[...get(c), ...get(d), add, ...set(c)],
    ...turned(b, c, rotations[1]),
  ];
}

/** RFC 7693, section 3.2: the state stands at 0, the block at `at`; `count` bytes so far; `last` is -1 or 0. */
function compression(): number[] {
  const code: number[] = [];
  for (let index = 0; index < 8; index += 1) {
    code.push(...zero, ...load(8 * index), ...set(v(index)));
    code.push(...constant(IV[index] ?? 0n), ...set(v(8 + index)));
  }
  code.push(...get(v(12)), ...get(count), extendUnsigned, xor, ...set(v(12)));
  code.push(...get(v(14)), ...get(last), extendSigned, xor, ...set(v(14)));
  for (let index = 0; index < 16; index += 1) code.push(...get(at), ...load(8 * index), ...set(m(index)));
  for (let round = 0; round < 12; round += 1) {
    const words = SIGMA[round % 10] ?? [];
    for (const [index, [a = 0, b = 0, c = 0, d = 0]] of MIXES.entries()) {
      code.push(...halfG(v(a), v(b), v(c), v(d), m(words[2 * index] ?? 0), [R1, R2]));
      code.push(...halfG(v(a), v(b), v(c), v(d), m(words[2 * index + 1] ?? 0), [R3, R4]));
    }
  }
  for (let index = 0; index < 8; index += 1) {
    code.push(...zero, ...zero, ...load(8 * index), ...get(v(index)), xor, ...get(v(8 + index)), xor);
    code.push(...store(8 * index));
  }
  return code;
}

/** https://webassembly.github.io/spec/core/binary/modules.html */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  const [i32, i64] = [0x7f, 0x7e];
  const counted = (bytes: number[]) => [...unsigned(bytes.length), ...bytes];
  const named = (name: string) => counted([...Buffer.from(name)]);
  const section = (id: number, content: number[]) => [id, ...counted(content)];
  const body = [1, 32, i64, ...compression(), 0x0b];
  return new Uint8Array([
    ...[...Buffer.from('\0asm'), 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, i32, i32, i32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 1, 1, 1]),
    ...section(7, [2, ...named('memory'), 2, 0, ...named('compress'), 0, 0]),
    ...section(10, [1, ...counted(body)]),
  ]);
}

interface Exports {
  memory: { buffer: ArrayBuffer };
  compress(at: number, count: number, last: number): void;
}
/** As far as it is used here: TypeScript has it among the types of browsers only. */
interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: Exports };
}
const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
const { memory, compress } = new Instance(new Module(moduleBytes())).exports;
const bytes = new Uint8Array(memory.buffer);
const state = new BigUint64Array(memory.buffer, 0, 8);

/** BLAKE2b, keyed or (with an empty key) not, of the pieces put together: 1 to 64 bytes. Throws on other lengths. */
export function blake2b(key: Uint8Array, length: number, ...pieces: Uint8Array[]): Uint8Array {
  if (key.length > 64) throw new RangeError('a BLAKE2b key is 64 bytes at most');
  if (length < 1 || length > 64) throw new RangeError('a BLAKE2b hash is 1 to 64 bytes');
  let end = STATE_BYTES + (key.length > 0 ? BLOCK_BYTES : 0);
  for (const piece of pieces) end += piece.length;
  if (end > MEMORY_BYTES - BLOCK_BYTES) throw new RangeError('too long for one BLAKE2b');
  state.set(IV);
  // Section 2.5: the parameter block says length, key length, and fan-out and depth of 1.
  state[0] = (IV[0] ?? 0n) ^ BigInt(0x01010000 ^ (key.length << 8) ^ length);
  bytes.set(key, STATE_BYTES);
  let place = STATE_BYTES + (key.length > 0 ? BLOCK_BYTES : 0);
  for (const piece of pieces) {
    bytes.set(piece, place);
    place += piece.length;
  }
  let block = STATE_BYTES;
  for (; block + BLOCK_BYTES < end; block += BLOCK_BYTES)
    compress(block, block + BLOCK_BYTES - STATE_BYTES, 0);
  compress(block, end - STATE_BYTES, -1);
  const hash = bytes.slice(0, length);
  // All that the next call finds is zeros: its padding, and nothing of this key or message.
  bytes.fill(0, 0, end);
  return hash;
}
