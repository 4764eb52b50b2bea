/**
 * What belongs to one request dies young. Where something in the old heap holds on to it, V8 keeps it until the next full
 * collection, and these then come every few seconds: the longest waits of a busy server.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { createDatabase } from '../support/databases.ts';

setFlagsFromString('--expose-gc');
const collect: (options: { type: 'minor' | 'major' }) => void = runInNewContext('gc');

const oldBytes = () =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0;

/** How many bytes of the old heap so many pieces of work have left behind. */
async function agedBytes(times: number, work: (count: number) => unknown): Promise<number> {
  // Until it is compiled, and what it keeps for good is kept.
  for (let count = 0; count < times; count++) await work(count);
  collect({ type: 'major' });
  const before = oldBytes();
  for (let count = 0; count < times; count++) {
    await work(count);
    if (count % 50 === 0) collect({ type: 'minor' });
  }
  return oldBytes() - before;
}

const times = 1000;
const kilobytes = 10;
const worth = (count: number) => String(count % 10).repeat(kilobytes * 1024);

test('of a statement nothing is left', async () => {
  const { url, drop } = await createDatabase();
  const database = openDatabase(url, { onIdleError: () => {} });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  const aged = await agedBytes(times, (count) =>
    database.query('select length($1) as length', [worth(count)]),
  );
  expect(aged).toBeLessThan((times * kilobytes * 1024) / 10);
});
