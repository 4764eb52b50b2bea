/**
 * P-256 on OpenSSL against the stock functions, on random scalars and points from a seed. The unit test runs a sample;
 * all of it, some six minutes: node test/differential/native_group.ts [count = 10000] [seed = random]
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  groupFunctions,
  loadVoprfGroup,
  type Num,
  nativeFunctions,
  type Point,
  strictFunctions,
} from '../../src/opaque/native_group.ts';

export const Group = loadVoprfGroup();
/** As the library has them; to be imported before anything installs the native ones. */
export const stock = groupFunctions(Group);
export const strict = strictFunctions(Group);
export const native = nativeFunctions(Group, strict);
export const group = new Group('P-256');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const pointHex = (point: Point) => hex(group.serialize(point, false));
export const scalarHex = (k: Num) => hex(group.serializeScalar(k));

/** Scalars in [1, n), the same for the same seed. */
export function createScalars(seed: string): () => Num {
  let count = 0;
  return function next(): Num {
    const bytes = createHash('sha256').update(`${seed}:${count++}`).digest();
    try {
      return group.deserializeScalar(bytes);
    } catch {
      return next();
    }
  };
}

/** Compares all five functions; `differing` tells the scalars that gave different results, with the function. */
export async function compare(
  count: number,
  seed: string,
): Promise<{ compared: number; differing: string[] }> {
  const next = createScalars(seed);
  const differing: string[] = [];
  let compared = 0;
  const same = (what: string, k: Num, one: string, other: string) => {
    compared++;
    if (one !== other) differing.push(`${what} ${scalarHex(k)}`);
  };
  for (let i = 0; i < count; i++) {
    const [k, l] = [next(), next()];
    const base = native.mulBase.call(group, l);
    same('mulBase', l, pointHex(base), pointHex(stock.mulBase.call(group, l)));
    const bytes = group.serialize(base);
    const point = native.deserComp.call(group, bytes);
    same('deserComp', l, pointHex(point), pointHex(stock.deserComp.call(group, bytes)));
    same('mul', k, pointHex(native.mul(k, point)), pointHex(stock.mul(k, point)));
    const sum = group.addScalar(k, l);
    same(
      'invScalar',
      sum,
      scalarHex(native.invScalar.call(group, sum)),
      scalarHex(stock.invScalar.call(group, sum)),
    );
    const [one, other] = await Promise.all(
      [native, stock].map((each) => each.hashToScalar.call(group, bytes, bytes.subarray(i % 33))),
    );
    same('hashToScalar', l, scalarHex(one as Num), scalarHex(other as Num));
  }
  return { compared, differing };
}

if (import.meta.main) {
  const [count = '10000', seed = hex(randomBytes(8))] = process.argv.slice(2);
  const started = performance.now();
  const { compared, differing } = await compare(Number(count), seed);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`seed ${seed}: ${compared} comparisons, ${differing.length} differing, ${seconds} s`);
  for (const each of differing) console.log(each);
  process.exitCode = differing.length === 0 ? 0 : 1;
}
