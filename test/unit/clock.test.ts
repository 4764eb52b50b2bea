/** The clock that all instances share: PostgreSQL's, whatever the machine's says. */
import { afterEach, expect, test, vi } from 'vitest';
import { type DatabaseClock, followDatabaseClock } from '../../src/storage/clock.ts';
import type { Query } from '../../src/storage/database.ts';

afterEach(() => vi.useRealTimers());

/** A PostgreSQL whose clock says what it is told to. */
async function follow(at: { ms: number; away?: boolean }): Promise<DatabaseClock> {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] });
  const query = async () => {
    if (at.away) throw new Error('away');
    return [{ ms: at.ms }];
  };
  return followDatabaseClock({ query: query as unknown as Query });
}

test('it is PostgreSQL’s time, goes on while PostgreSQL is away, and is not moved by the machine’s clock', async () => {
  const postgres = { ms: 1_000_000, away: false };
  const clock = await follow(postgres);
  expect(clock.now()).toBe(1_000_000);
  postgres.away = true;
  vi.setSystemTime(Date.now() + 3_600_000);
  await vi.advanceTimersByTimeAsync(5000);
  expect(clock.now()).toBe(1_005_000);
  clock.stop();
});

test('it follows where PostgreSQL’s clock is set, or another server takes over', async () => {
  const postgres = { ms: 1_000_000 };
  const clock = await follow(postgres);
  postgres.ms = 1_040_000;
  await vi.advanceTimersByTimeAsync(2000);
  expect(clock.now()).toBe(1_040_000);
  clock.stop();
});
