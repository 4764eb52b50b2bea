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
    /** Events of so many days ago, with ids of their month. */
    add: async (days: number, count: number) => {
      const at = new Date(now() - days * 86_400_000);
      await database.query('select open_audit_month($1)', [at]);
      await database.query(
        `insert into audit_log (id, at, event) overriding system value
         select audit_ids_from($1) + $3 + n, $1, 'login.completed' from generate_series(1, $2) n`,
        // Far from those that the sequence gives.
        [at, count, 5_000_000_000 + days * 10_000],
      );
    },
    partitions: async () =>
      (
        await database.query<{ name: string }>(
          `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit_log'::regclass order by 1`,
        )
      ).map(({ name }) => name),
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

test('the months whose events have outlived their retention go, with a record of it; younger ones cannot be deleted by anybody', async () => {
  const { database, add, retention, left, partitions, details, close } = await openAudit();
  try {
    await add(505, 2300);
    await add(440, 1);
    await add(399, 2);
    await add(31, 1);
    await add(29, 1);
    const before = await partitions();
    // Any number of instances at once.
    const gone = await Promise.all([retention(400).expire(), retention(400).expire()]);
    expect(gone[0] + gone[1]).toBe(2301);
    const events = (await details('audit.expired')).map((detail) => Number(detail.events));
    expect(events.reduce((sum, count) => sum + count)).toBe(2301);
    expect(await left()).toBe(4);
    // Those of two months, and the one of the time before there were months.
    expect((await partitions()).length).toBe(before.length - 3);
    expect(await retention(400).expire()).toBe(0);
    const names = await partitions();
    for (const name of ['audit_log', ...names])
      for (const change of [`delete from ${name}`, `update ${name} set event = 'x'`, `truncate ${name}`]) {
        const refused = database.query(change).then(
          (rows) => rows.length,
          ({ message }: Error) => message,
        );
        // A partition without events has none to delete.
        expect([change, await refused]).toEqual([
          change,
          expect.toSatisfy((said) => said === 0 || /append-only/.test(said)),
        ]);
      }
    expect(await left()).toBe(4);
  } finally {
    await close();
  }
});

test('only months that were over at the asked time go, and none while every event is kept', async () => {
  const { database, add, retention, left, close } = await openAudit();
  const drop = async () => {
    const asked = new Date(Date.now() - 470 * 86_400_000);
    const gone = await database.query<{ events: string }>('select events from drop_audit_months($1)', [
      asked,
    ]);
    return gone.map(({ events }) => Number(events));
  };
  try {
    await add(505, 3);
    await add(440, 2);
    await retention(400).hold();
    // The first is that of the time before there were months.
    expect([await drop(), await left()]).toEqual([[0, 3], 2]);
    await add(505, 3);
    await retention(0).hold();
    expect([await drop(), await left()]).toEqual([[], 5]);
  } finally {
    await close();
  }
});

test('a month with one event that is too young stays whole, and events get the ids of the month in which they are written', async () => {
  const { database, audit, add, retention, left, partitions, close } = await openAudit();
  try {
    await add(500, 3);
    const [oldest] = await database.query<{ id: string }>(
      "select min(id) as id from audit_log where at < now() - interval '1 day'",
    );
    await database.query(
      "insert into audit_log (id, at, event) overriding system value values ($1, now(), 'login.completed')",
      [BigInt(oldest?.id ?? 0) + 1000n],
    );
    await retention(400).hold();
    expect([await retention(400).expire(), await left()]).toEqual([0, 4]);

    audit.record({ event: 'login.completed' });
    await audit.flush();
    const [row] = await database.query<{ id: string }>('select max(id) as id from audit_log');
    const month = new Date().toISOString().slice(0, 7);
    expect(row?.id).toMatch(new RegExp(`^${month.replace('-', '')}\\d{10}$`));
    const next = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 15))
      .toISOString()
      .slice(0, 7);
    for (const each of [month, next])
      expect(await partitions()).toContain(`audit_log_${each.replace('-', '_')}`);
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
    const firstId = String(rows[0].id);
    const lastId = String(BigInt(firstId) + 1199n);
    expect(rows[0]).toMatchObject({ event: 'login.completed', account_id: null });
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(archived).toEqual({ events: 1200, firstId, lastId, sha256 });
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
