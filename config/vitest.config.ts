import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongFirst } from '../test/support/long_first.ts';

/** Tests of processes that are stopped, killed, or cut off, with the time limits that operators have. */
const faults = [
  'test/faults/**/*.test.ts',
  'test/topologies/**/*.test.ts',
  'test/upgrade/**/*.test.ts',
  'test/http/faults_*.test.ts',
];

/** Tests that measure memory, or that an answer comes within about a second: nothing else may take the machine meanwhile. */
const alone = [
  'test/faults/short.test.ts',
  'test/http/faults_disk_full.test.ts',
  'test/http/faults_load.test.ts',
  'test/http/faults_postgres.test.ts',
  'test/http/faults_redis.test.ts',
  'test/topologies/failovers.test.ts',
];

/** Tests of the group that a process installs once, for all that comes after: each has a process of its own. */
const apart = [
  'test/unit/native_group.test.ts',
  'test/unit/opaque_vectors.test.ts',
  'test/unit/p256_group.test.ts',
];

const root = fileURLToPath(new URL('..', import.meta.url));
const ofEach = {
  // A test waits for what is to happen. These are for one that would wait for ever, on a machine that is very busy.
  testTimeout: 600_000,
  hookTimeout: 600_000,
  expect: { poll: { timeout: 60_000 } },
};
// Most tests wait for much of their time: four of them are what two processors can do.
const maxWorkers = 4;

export default defineConfig({
  root,
  test: {
    // Of the whole run: a project that extended this would start servers of its own.
    globalSetup: 'test/support/global_setup.ts',
    sequence: { sequencer: LongFirst },
    projects: [
      {
        root,
        test: {
          ...ofEach,
          name: 'all',
          include: ['test/**/*.test.ts'],
          // The bench installs its peers below test/, with their tests.
          exclude: [...faults, ...alone, ...apart, '**/node_modules/**'],
          maxWorkers,
          // The files that a worker runs share its modules: loading them anew for each took a fifth of the time.
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      { root, test: { ...ofEach, name: 'apart', include: apart, maxWorkers, sequence: { groupOrder: 0 } } },
      {
        root,
        test: {
          ...ofEach,
          name: 'faults',
          include: faults,
          exclude: alone,
          maxWorkers,
          isolate: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        root,
        test: {
          ...ofEach,
          name: 'alone',
          include: alone,
          maxWorkers: 1,
          // Of the tests of one file that are written to run beside each other.
          maxConcurrency: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
