/**
 * Reads small JSON from the issuer. Time and size are bounded. Redirects are not followed, so that nobody else can
 * answer.
 */

const mostBytes = 262_144;
const timeoutMs = 3000;

export type Fetch = typeof globalThis.fetch;

export interface JsonAnswer {
  headers: Headers;
  json: unknown;
}

/** Rejects unless JSON arrives with status 200 within three seconds. */
export async function fetchJson(fetch: Fetch, url: string, init: RequestInit = {}): Promise<JsonAnswer> {
  const answer = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
  if (answer.status !== 200) {
    await answer.body?.cancel();
    throw new Error(`${url} answered ${answer.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    // Leaving the loop cancels the rest of the answer.
    if (bytes > mostBytes) throw new Error(`${url} answered with more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return { headers: answer.headers, json: JSON.parse(Buffer.concat(chunks).toString('utf8')) };
}
