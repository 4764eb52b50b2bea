/**
 * Moves old events of the audit log to a file. It is gzip over lines, each of which is a JSON object. The events are
 * deleted only after the file was read back. The same commit records an event that says what was deleted, with the
 * file's SHA-256.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { Database, Query } from '../storage/database.ts';
import type { Audit } from './audit.ts';

export interface ArchiveDeps {
  database: Pick<Database, 'longTransaction'>;
  audit: Pick<Audit, 'recordWithin'>;
}

export interface Archived {
  events: number;
  firstId: string;
  lastId: string;
  /** The hash of the file, in hex. */
  sha256: string;
}

interface Row {
  id: string;
}

const batchRows = 1000;
const columns = 'id, at, event, account_id, client_id, address, detail';

/**
 * Archives the events from before `before`. By default these are all that are older than the retention in the
 * database. Returns undefined and makes no file if there are none. Rejects and deletes nothing if `file` exists
 * already, or if `before` is within the retention. If the commit fails, the file stays, because PostgreSQL may have
 * committed before its answer was lost.
 */
export function archiveAudit(
  { database, audit }: ArchiveDeps,
  file: string,
  before?: Date,
): Promise<Archived | undefined> {
  return database.longTransaction(async (query) => {
    const upTo = await edgeOf(query, before);
    const next = (after: string) =>
      query<Row>(
        `select ${columns} from audit_log where id > $1 and at < $2 order by id limit ${batchRows}`,
        [after, upTo],
      );
    const first = await next('0');
    if (first.length === 0) return undefined;
    const archived = await writeVerified(file, first, next);
    const { events, firstId, lastId } = archived;
    const gone = await query(
      'delete from audit_log where id between $1 and $2 and at < $3 returning 1 as gone',
      [firstId, lastId, upTo],
    );
    if (gone.length !== events)
      throw new Error(
        `the audit log has changed meanwhile, so nothing was removed: delete ${file} and try again`,
      );
    const detail = { ...archived, before: upTo.toISOString() };
    await audit.recordWithin(query, { event: 'audit.archived', detail });
    return archived;
  });
}

/** Events from before this time may be deleted. */
async function edgeOf(query: Query, before: Date | undefined): Promise<Date> {
  const [held] = await query<{ days: number; edge: Date }>(
    "select audit_retention_days() as days, now() - audit_retention_days() * interval '1 day' as edge",
  );
  if (!held || held.days === 0)
    throw new Error('the audit log keeps every event: AUDIT_RETENTION_DAYS is or was 0');
  if (before && before > held.edge)
    throw new Error(
      `the audit log keeps events for ${held.days} days: nothing after ${held.edge.toISOString()} can be archived`,
    );
  return before ?? held.edge;
}

async function writeVerified(
  file: string,
  first: Row[],
  next: (after: string) => Promise<Row[]>,
): Promise<Archived> {
  const [firstId = ''] = first.map(({ id }) => id);
  const written = { events: 0, lastId: firstId };
  const lines = createHash('sha256');
  async function* contents() {
    for (let rows = first; rows.length > 0; rows = await next(written.lastId)) {
      const text = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
      lines.update(text);
      written.events += rows.length;
      written.lastId = rows.at(-1)?.id ?? written.lastId;
      yield text;
    }
  }
  try {
    // `wx` never overwrites a file. `flush` writes the file to the disk before any event is deleted.
    const target = createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true });
    await pipeline(Readable.from(contents()), createGzip(), target);
    const read = await readBack(file);
    if (read.events !== written.events || read.lines !== lines.digest('hex'))
      throw new Error(`${file} does not hold what was written to it: nothing was removed`);
    return { events: written.events, firstId, lastId: written.lastId, sha256: read.file };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await unlink(file).catch(() => {});
    throw error;
  }
}

async function readBack(file: string): Promise<{ events: number; lines: string; file: string }> {
  const [whole, lines] = [createHash('sha256'), createHash('sha256')];
  let events = 0;
  await pipeline(
    createReadStream(file),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        whole.update(chunk);
        yield chunk;
      }
    },
    createGunzip(),
    async (text: AsyncIterable<Buffer>) => {
      for await (const line of createInterface({ input: Readable.from(text) })) {
        JSON.parse(line);
        lines.update(`${line}\n`);
        events += 1;
      }
    },
  );
  return { events, lines: lines.digest('hex'), file: whole.digest('hex') };
}
