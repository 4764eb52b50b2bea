/** V8's flags are no interface: one that a release of Node drops would be told of on stderr and have no effect. */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

const root = new URL('../..', import.meta.url).href;

test('V8 knows the flags that are set', () => {
  const script = `
    import { shrinkHeapAfterStart } from '${root}src/lib/heap.ts';
    shrinkHeapAfterStart(0);
    setTimeout(() => console.log('collected'), 20);
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect([stdout, stderr]).toEqual(['collected\n', '']);
});
