/** How many rows a listing reads at once. So its memory does not grow with the number of rows. */
export const pageRows = 500;

/**
 * Reads a listing page by page, to its end. `read` resolves with the rows that come after `last` in the order of the
 * listing, or with the first ones; with none at the end. Rows that are there all the time come exactly once, whatever
 * is added or removed meanwhile.
 */
export async function* pagesOf<T>(read: (last: T | undefined) => Promise<T[]>): AsyncGenerator<T[]> {
  for (let page = await read(undefined); page.length > 0; page = await read(page.at(-1))) yield page;
}
