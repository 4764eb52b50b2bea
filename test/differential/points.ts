/** Numbers and encodings of P-256, and encodings that no implementation may accept. */

export const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
export const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
export const bytes = (number: bigint) => Buffer.from(number.toString(16).padStart(64, '0'), 'hex');
export const encoding = (prefix: string, x: bigint) => Buffer.concat([Buffer.from(prefix, 'hex'), bytes(x)]);

export const wrongPoints: [string, Buffer][] = [
  ['off the curve', encoding('02', 1n)],
  ['off the curve, odd', encoding('03', 7n)],
  ['x = p', encoding('02', p)],
  ['x = p + 5, a second encoding of x = 5', encoding('02', p + 5n)],
  ['x = 2^256 - 1', encoding('03', 2n ** 256n - 1n)],
  ['33 zero bytes', encoding('00', 0n)],
  ['prefix 04', encoding('04', 5n)],
  ['prefix 05', encoding('05', 5n)],
  ['prefix 06', encoding('06', 5n)],
  ['one byte short', encoding('02', 5n).subarray(0, 32)],
  ['one byte long', Buffer.concat([encoding('02', 5n), Buffer.alloc(1)])],
  ['empty', Buffer.alloc(0)],
  ['uncompressed, off the curve', Buffer.concat([encoding('04', 5n), bytes(5n)])],
];
