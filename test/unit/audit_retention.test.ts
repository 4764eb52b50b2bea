/** How long the audit log keeps events, that the database holds it, and the archive of what has outlived it. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { archiveAudit } from '../../src/audit/archive.ts';
import { createAudit } from '../../src/audit/audit.ts';
import { createAuditRetention } from '../../src/audit/retention.ts';
import { createLog } from '../../src/lib/log.ts';
import { openStores } from '../support/stores.ts';

async function openAudit() {
  const { database, now, close } = await openStores();
  const log = createLog('silent');
  const audit = createAudit(database, log, now);
  return {
    database,
    audit,
    now,
    close,
    add: (days: number, count: number) =>
      database.query(
        `insert into audit_log (at, event) select $1, 'login.completed' from generate_series(1, $2)`,
        [new Date(now() - days * 86_400_000), count],
      ),
    retention: (days: number) => createAuditRetention({ database, audit, days, log, now }),
    left: async () => (await database.query("select from audit_log where event = 'login.completed'")).length,
    details: async (event: string) =>
      (
        await database.query<{ detail: Record<string, unknown> }>(
          'select detail from audit_log where event = $1 order by id',
          [event],
        )
      ).map(({ detail }) => detail),
  };
}

test('events that have outlived their retention go, with a record of it; younger ones cannot be deleted by anybody', async () => {
  const { database, add, retention, left, details, close } = await openAudit();
  try {
    await add(500, 2300);
    await add(408, 1);
    await add(399, 2);
    await add(31, 1);
    await add(29, 1);
    // Any number of instances at once.
    const gone = await Promise.all([retention(400).expire(), retention(400).expire()]);
    expect(gone[0] + gone[1]).toBe(2301);
    const events = (await details('audit.expired')).map((detail) => Number(detail.events));
    expect(events.reduce((sum, count) => sum + count)).toBe(2301);
    expect(await left()).toBe(4);
    expect(await retention(400).expire()).toBe(0);
    for (const change of ['delete from audit_log', "update audit_log set event = 'x'", 'truncate audit_log'])
      await expect(database.query(change)).rejects.toThrow('append-only');
    expect(await left()).toBe(4);
  } finally {
    await close();
  }
});

test('the database holds the retention: a shorter one comes into force once no event of before is within the longer one', async () => {
  const { database, add, retention, left, details, close } = await openAudit();
  try {
    await add(399, 1);
    await add(60, 1);
    const remove = (days: number) =>
      database.query("delete from audit_log where at < now() - $1 * interval '1 day'", [days]);
    const inForce = async () =>
      (await database.query<{ days: number }>('select audit_retention_days() as days'))[0]?.days;
    expect(await inForce()).toBe(30);
    await retention(400).hold();
    await retention(400).hold();
    expect(await inForce()).toBe(400);
    await expect(remove(50)).rejects.toThrow('not 400 days old');

    expect(await retention(30).expire()).toBe(0);
    expect([await inForce(), await left()]).toEqual([400, 2]);
    for (const change of [
      'delete from audit_retention',
      'truncate audit_retention',
      "update audit_retention set next_at = now() - interval '1 day'",
      "update audit_retention set days = 30, next_days = 30, next_at = now() - interval '1 day'",
      'update audit_retention set only_row = true, days = 31',
    ]) {
      await database.query(change).catch(() => {});
      expect([change, await inForce()]).toEqual([change, 400]);
    }
    await expect(remove(50)).rejects.toThrow('not 400 days old');
    const changes = await details('audit.retention_changed');
    expect(changes).toEqual([
      { days: 400 },
      { days: 400, nextDays: 30, from: expect.stringMatching(/^\d{4}-/) },
    ]);
    expect(Date.parse(String(changes[1]?.from)) - Date.now()).toBeGreaterThan(399 * 86_400_000);

    await retention(0).hold();
    expect(await inForce()).toBe(0);
    await expect(remove(390)).rejects.toThrow('every row is kept');
    await retention(30).hold();
    expect([await inForce(), await retention(30).expire(), await left()]).toEqual([0, 0, 2]);
  } finally {
    await close();
  }
});

test('an archive has the events that it removes, and its hash is in the log; it reaches nothing within the retention', async () => {
  const { database, audit, now, add, retention, left, details, close } = await openAudit();
  const folder = await mkdtemp(join(tmpdir(), 'audit-archive-'));
  const file = join(folder, 'old.jsonl.gz');
  const archive = (days?: number, to = file) =>
    archiveAudit(
      { database, audit },
      to,
      days === undefined ? undefined : new Date(now() - days * 86_400_000),
    );
  try {
    await add(500, 1200);
    await add(403, 5);
    await add(399, 2);
    await retention(400).hold();
    await expect(archive(398)).rejects.toThrow('keeps events for 400 days');
    await writeFile(file, 'mine');
    await expect(archive()).rejects.toThrow('EEXIST');
    expect([await left(), await readFile(file, 'utf8')]).toEqual([1207, 'mine']);
    await rm(file);

    const archived = await archive(450);
    const bytes = await readFile(file);
    const rows = gunzipSync(bytes)
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(1200);
    expect(rows[0]).toMatchObject({ id: '1', event: 'login.completed', account_id: null });
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(archived).toEqual({ events: 1200, firstId: '1', lastId: '1200', sha256 });
    expect(await details('audit.archived')).toEqual([{ ...archived, before: expect.any(String) }]);
    expect(await left()).toBe(7);

    expect(await archive(undefined, join(folder, 'rest.jsonl.gz'))).toMatchObject({ events: 5 });
    expect(await archive(undefined, join(folder, 'none.jsonl.gz'))).toBeUndefined();
    expect(await left()).toBe(2);
    await retention(0).hold();
    await expect(archive()).rejects.toThrow('keeps every event');
  } finally {
    await rm(folder, { recursive: true });
    await close();
  }
});
