/** Reads a backup from beginning to end, and verifies its checksum. `backup.ts` describes the format. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { type BackupHeader, type BackupTrailer, backupFormat, endOfRows } from './backup.ts';

export interface BackupReader {
  header: BackupHeader;
  /** The rows of the next table, in the order of the header. Read them to the end before you ask for the next. */
  rows(): AsyncGenerator<Buffer>;
  /** Reads the last line and verifies the checksum. Call it after all rows. Rejects if the file was changed. */
  finish(): Promise<void>;
  close(): void;
}

const newline = 0x0a;
/** The longest header in bytes. The bound keeps a file that is no backup from filling the memory. */
const longestLine = 16 * 1024 * 1024;
const endAfterRow = Buffer.from(`\n${endOfRows}`);
const endOfNoRows = Buffer.from(endOfRows);

const damaged = (why: string) => new Error(`the backup is damaged: ${why}`);

function parseJson<T>(line: Buffer): Partial<T> {
  try {
    return JSON.parse(line.toString()) as Partial<T>;
  } catch {
    throw damaged('a line of it cannot be read');
  }
}

/** Opens a backup and reads its header. Rejects if the file is not a backup, or has another version of the format. */
export async function openBackup(path: string): Promise<BackupReader> {
  const file = createReadStream(path);
  const unzipped = createGunzip();
  // `pipe` does not pass errors on. Without this, a read error of the file would not reach the reader of the text.
  file.on('error', (error) => unzipped.destroy(error)).pipe(unzipped);
  const chunks = unzipped[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const hash = createHash('sha256');
  let rest: Buffer = Buffer.alloc(0);

  async function readOn(): Promise<void> {
    const { value, done } = await chunks.next().catch((cause: Error) => {
      throw 'syscall' in cause ? cause : damaged(cause.message);
    });
    if (done) throw damaged('it ends too early');
    rest = rest.length === 0 ? value : Buffer.concat([rest, value]);
  }
  /** Removes the first `bytes` bytes from `rest`, adds them to the checksum and returns them. */
  function take(bytes: number): Buffer {
    const taken = rest.subarray(0, bytes);
    rest = rest.subarray(bytes);
    hash.update(taken);
    return taken;
  }

  async function readHeader(): Promise<BackupHeader> {
    while (!rest.includes(newline)) {
      if (rest.length > longestLine) throw damaged('it has no header');
      await readOn();
    }
    const header = parseJson<BackupHeader>(take(rest.indexOf(newline) + 1));
    if (header.format !== backupFormat) throw new Error(`${path} is not a backup that this version can read`);
    return header as BackupHeader;
  }

  return {
    header: await readHeader(),
    async *rows() {
      for (;;) {
        // `rest` begins at the start of a row here.
        if (rest.subarray(0, endOfNoRows.length).equals(endOfNoRows)) {
          take(endOfNoRows.length);
          return;
        }
        const end = rest.indexOf(endAfterRow);
        const rows = end >= 0 ? end + 1 : rest.lastIndexOf(newline) + 1;
        if (rows > 0) yield take(rows);
        else await readOn();
      }
    },
    async finish() {
      const sha256 = hash.digest('hex');
      while (rest.at(-1) !== newline) await readOn();
      const trailer = parseJson<BackupTrailer>(rest);
      if (trailer.sha256 !== sha256) throw damaged('its checksum is another one');
    },
    close() {
      file.destroy();
      unzipped.destroy();
    },
  };
}
