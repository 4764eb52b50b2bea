/**
 * Failovers on each topology, under the workload of the fault runs. Their checker looks for what was lost, what was done twice
 * and who was signed out. `npm run test:topologies` does it for longer.
 */
import { expect, test } from 'vitest';
import { topologies } from '../faults/topologies.ts';
import { runTopology } from './run_topology.ts';

const shortRuns: Record<string, string[]> = {
  'patroni-synchronous': ['kill the primary'],
  'patroni-asynchronous': ['kill the primary while its replicas are behind'],
  'patroni-hosts': ['switch over'],
  pgbouncer: ['restart pgbouncer'],
  'redis-sentinel': ['kill a Redis primary'],
  'redis-cluster': ['kill a Redis primary'],
  'without-redis': ['kill provider'],
};

// Most of a failover is waiting: two of them fit beside each other (`maxConcurrency` in config/vitest.config.ts).
test.concurrent.for(Object.entries(topologies))(
  '%s: nothing is lost or done twice in a failover, and nobody is signed out',
  async ([name, { missing }], context) => {
    const lacking = missing();
    context.skip(lacking !== undefined, `this machine lacks ${lacking}`);
    const faults = shortRuns[name] ?? [];
    const { report, said } = await runTopology(name, faults, context);
    expect(report.violations, said).toEqual({ 1: 0, 2: 0, 3: 0, 4: 0 });
    expect(Object.keys(report.faults).sort()).toEqual([...faults].sort());
    expect(report.rotations).toBeGreaterThan(0);
  },
);
