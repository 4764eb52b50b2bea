import { expect, test } from 'vitest';
import { createAdmission } from '../../src/lib/admission.ts';

/** Work that goes on until it is told to end. */
function lastingWork() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  return { work: () => promise, end: () => resolve('done'), fail: () => reject(new Error('a fault')) };
}

test('so many at once are let in; the others are refused at the door and before any work, and counted', async () => {
  let refused = 0;
  let begun = 0;
  const admission = createAdmission(2, () => {
    refused += 1;
  });
  const [first, second] = [lastingWork(), lastingWork()];
  const letIn = [admission.admit(first.work), admission.admit(second.work)];
  const overloaded = { code: 'overloaded', status: 503, retryAfterSeconds: expect.any(Number) };
  expect(() => admission.check()).toThrow(expect.objectContaining(overloaded));
  await expect(
    admission.admit(async () => {
      begun += 1;
    }),
  ).rejects.toMatchObject(overloaded);
  expect([refused, begun]).toEqual([2, 0]);

  // A place is free again when the work is done, and when it has failed.
  first.end();
  second.fail();
  expect(await Promise.allSettled(letIn)).toMatchObject([{ value: 'done' }, { status: 'rejected' }]);
  admission.check();
  expect(await admission.admit(async () => 'let in')).toBe('let in');
  expect(refused).toBe(2);
});
