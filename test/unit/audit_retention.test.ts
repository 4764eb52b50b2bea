/** How long the audit log keeps events, and that nothing younger can be deleted, whatever is set. */
import { expect, test } from 'vitest';
import { createAudit } from '../../src/audit/audit.ts';
import { createAuditRetention } from '../../src/audit/retention.ts';
import { createLog } from '../../src/lib/log.ts';
import { openStores } from '../support/stores.ts';

test('events that have outlived their retention go, with a record of it; younger ones cannot be deleted by anybody', async () => {
  const { database, now, close } = await openStores();
  try {
    const log = createLog('silent');
    const audit = createAudit(database, log, now);
    const add = (days: number, count: number) =>
      database.query(
        `insert into audit_log (at, event) select $1, 'login.completed' from generate_series(1, $2)`,
        [new Date(now() - days * 86_400_000), count],
      );
    await add(500, 2300);
    await add(401, 1);
    await add(399, 2);
    await add(31, 1);
    await add(29, 1);
    const retention = (days: number) => createAuditRetention({ database, audit, days, log, now });
    expect(await retention(0).expire()).toBe(0);
    // Any number of instances at once.
    const gone = await Promise.all([retention(400).expire(), retention(400).expire()]);
    expect(gone[0] + gone[1]).toBe(2301);
    const told = await database.query<{ detail: { events: number } }>(
      "select detail from audit_log where event = 'audit.expired'",
    );
    expect(told.reduce((sum, { detail }) => sum + detail.events, 0)).toBe(2301);
    const left = await database.query("select from audit_log where event = 'login.completed'");
    expect(left).toHaveLength(4);
    expect(await retention(400).expire()).toBe(0);

    await expect(retention(1).expire()).rejects.toThrow('append-only');
    await expect(database.query('delete from audit_log')).rejects.toThrow('append-only');
    await expect(database.query("update audit_log set event = 'x'")).rejects.toThrow('append-only');
    await expect(database.query('truncate audit_log')).rejects.toThrow('append-only');
    expect(await database.query("select from audit_log where event = 'login.completed'")).toHaveLength(4);
  } finally {
    await close();
  }
});
