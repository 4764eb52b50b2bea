import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The longest test files, of a minute down to a quarter of one. */
const longest = [
  'browser/pages',
  'browser/account',
  'http/start',
  'browser/sign_in',
  'http/restore',
  'http/lockout',
  'deploy/image',
  'browser/protocol_pages',
  'http/large_amounts',
  'browser/session',
  'browser/forward_auth',
  'browser/links',
  'http/restore_embedded',
  'deploy/monitoring',
  'http/key_drop',
  'http/instances',
  'http/backup',
  'http/backchannel_logout',
  'http/faults_write_stall',
  'faults/broken',
  'upgrade/upgrade',
  'topologies/redis_sentinel',
  'topologies/postgres_hosts',
  'topologies/pgbouncer',
  'topologies/database_users',
].map((name) => `/test/${name}.test.ts`);

/**
 * Starts the longest files first: one that started last would run by itself at the end. Vitest knows how long a file took
 * only where it has run before.
 */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = longest.findIndex((path) => moduleId.endsWith(path));
      return at === -1 ? longest.length : at;
    };
    const sorted = await super.sort(files);
    return sorted.sort((one, other) => rank(one) - rank(other));
  }
}
