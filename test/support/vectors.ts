/** Reads the files of test/vectors strictly: a field that a test would ignore is an error. */
import { deepStrictEqual, notStrictEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';

/** Throws unless `value` has these fields and no others. */
export function assertFields(value: object, fields: readonly string[]): void {
  deepStrictEqual(Object.keys(value).toSorted(), fields.toSorted());
}

/** The vectors of a file that names its source; `assertVector` throws for one that is not of the runner's form. */
export function loadVectors<Vector>(file: string, assertVector: (vector: Vector) => void): Vector[] {
  const data = JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8'));
  assertFields(data, ['source', 'vectors']);
  for (const empty of ['', undefined]) notStrictEqual(data.source, empty);
  for (const vector of data.vectors) assertVector(vector);
  return data.vectors;
}
