/** Prints listings of any length: page by page, without waiting for the last row, and no faster than they are read. */
import { once } from 'node:events';

export interface ListingFormat<T> {
  /** Prints one JSON array instead of lines. */
  json: boolean;
  /** What JSON shows of an item. */
  shown?: (item: T) => unknown;
  /** The lines of a page. */
  lines: (page: readonly T[], isFirst: boolean) => string[];
}

/** Prints all pages. Ends early if nobody reads the output any more. */
export async function printListing<T>(
  pages: AsyncIterable<T[]>,
  { json, shown = (item) => item, lines }: ListingFormat<T>,
): Promise<void> {
  let isFirst = true;
  for await (const page of pages) {
    const texts = json ? page.map((item) => indented(shown(item))) : lines(page, isFirst);
    const before = json ? (isFirst ? '[\n' : ',\n') : '';
    await write(`${before}${texts.join(json ? ',\n' : '\n')}${json ? '' : '\n'}`);
    isFirst = false;
    if (!process.stdout.writable) return;
  }
  if (json) await write(isFirst ? '[]\n' : '\n]\n');
}

/** An item of an array, as `JSON.stringify` with two spaces writes it. */
const indented = (item: unknown): string => JSON.stringify(item, null, 2).replace(/^/gm, '  ');

/** Writes to standard output. Resolves once its buffer has room again, or once nobody reads it any more. */
async function write(text: string): Promise<void> {
  const { stdout } = process;
  if (stdout.write(text) || !stdout.writable) return;
  const waited = new AbortController();
  const { signal } = waited;
  await Promise.race([once(stdout, 'drain', { signal }), once(stdout, 'close', { signal })]).catch(() => {});
  waited.abort();
}
