import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Tests of what happens in time when something is stopped or killed: nothing else may take the machine meanwhile. */
const faults = [
  'test/faults/**/*.test.ts',
  'test/topologies/**/*.test.ts',
  'test/http/faults_*.test.ts',
  'test/upgrade/**/*.test.ts',
];

/** Tests of the group that a process installs once, for all that comes after: each has a process of its own. */
const apart = ['test/unit/native_group.test.ts', 'test/unit/opaque_vectors.test.ts'];

const root = fileURLToPath(new URL('..', import.meta.url));
const ofEach = {
  // A test waits for what is to happen. These are for one that would wait for ever, on a machine that is very busy.
  testTimeout: 600_000,
  hookTimeout: 600_000,
  expect: { poll: { timeout: 60_000 } },
};

export default defineConfig({
  root,
  test: {
    // Of the whole run: a project that extended this would start servers of its own.
    globalSetup: 'test/support/global_setup.ts',
    projects: [
      {
        root,
        test: {
          ...ofEach,
          name: 'all',
          include: ['test/**/*.test.ts'],
          // The bench installs its peers below test/, with their tests.
          exclude: [...faults, ...apart, '**/node_modules/**'],
          maxWorkers: 2,
          // The files that a worker runs share its modules: loading them anew for each took a fifth of the time.
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        root,
        test: { ...ofEach, name: 'apart', include: apart, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      {
        root,
        test: { ...ofEach, name: 'faults', include: faults, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
