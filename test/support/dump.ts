/** Everything that PostgreSQL and Redis hold, as somebody who steals a dump of them could read it. */
import { Redis } from 'ioredis';
import type { Database } from '../../src/storage/database.ts';

/** Every value of every table: as text, and bytea as bytes. */
export async function dumpOfPostgres({ query }: Pick<Database, 'query'>): Promise<Buffer> {
  const tables = await query<{ name: string }>(
    "select quote_ident(relname) as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
  );
  const parts: Buffer[] = [];
  for (const { name } of tables) {
    for (const row of await query<Record<string, unknown>>(`select * from ${name}`)) {
      for (const value of Object.values(row)) {
        const isText = typeof value === 'string' || Buffer.isBuffer(value);
        parts.push(Buffer.from(isText ? value : JSON.stringify(value)), Buffer.from('\n'));
      }
    }
  }
  return withDecoded(Buffer.concat(parts));
}

/** Every key and value. */
export async function dumpOfRedis(url: string): Promise<Buffer> {
  const client = new Redis(url);
  try {
    const parts: string[] = [];
    for (const key of await client.keys('*')) {
      // Fails for what is no string: then this has to learn another type.
      parts.push(key, (await client.get(key)) ?? '');
    }
    return withDecoded(Buffer.from(parts.join('\n')));
  } finally {
    client.disconnect();
  }
}

/** Beside the bytes themselves: what looks like base64, base64url or hex among them, decoded. */
function withDecoded(bytes: Buffer): Buffer {
  const words = bytes.toString('latin1').match(/[\w+/-]{16,}/g) ?? [];
  const decoded = words.flatMap((word) => [Buffer.from(word, 'base64'), Buffer.from(word, 'hex')]);
  return Buffer.concat([bytes, ...decoded]);
}

/** The names of the secrets that are in the dump, as they are or as the bytes that they stand for. */
export function foundIn(dump: Buffer, secrets: ReadonlyMap<string, string | Buffer>): string[] {
  return [...secrets]
    .filter(([, secret]) => formsOf(secret).some((form) => dump.includes(form)))
    .map(([name]) => name);
}

function formsOf(secret: string | Buffer): Buffer[] {
  if (Buffer.isBuffer(secret)) return [secret, Buffer.from(secret.toString('latin1'), 'utf8')];
  const forms = [
    Buffer.from(secret),
    Buffer.from(encodeURIComponent(secret)),
    Buffer.from(secret, 'base64url'),
    fromBase32(secret),
  ];
  // The last part of a long one may be kept without the first.
  if (secret.length > 60) forms.push(Buffer.from(secret.slice(-30)));
  return forms.filter((form) => form.length >= 8);
}

/** RFC 4648; empty for what is not base32. */
function fromBase32(text: string): Buffer {
  if (!/^[A-Z2-7]{16,}$/.test(text)) return Buffer.alloc(0);
  const bits = [...text].map((letter) =>
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'),
  );
  return Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}
