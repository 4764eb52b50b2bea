/** Lifetimes: they are in one file, and the server does not start where they contradict each other. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assertLifetimes, lifeSeconds } from '../../src/lifetimes.ts';

const src = new URL('../../src', import.meta.url).pathname;
/** These run elsewhere: in an API, in a browser, in the demo. A setting has its default where it is declared, and the
 * units of time are no lifetimes. */
const elsewhere = /^(resource_server|browser_client|browser|demo|config|cli\/duration|lifetimes\.ts)/;

test('a resource whose tokens outlive their revocation keeps the server from starting', () => {
  const resource = (token_seconds: number) => ({ audience: 'https://api.example', token_seconds });
  expect(() => assertLifetimes({ resources: [resource(lifeSeconds.accessToken)] })).not.toThrow();
  expect(() => assertLifetimes({ resources: [resource(lifeSeconds.accessToken + 1)] })).toThrow(
    /revocation outlives/,
  );
});

test('no other file has a lifetime of its own', async () => {
  const files = (await readdir(src, { recursive: true })).filter(
    (name) => name.endsWith('.ts') && !elsewhere.test(name),
  );
  const found: string[] = [];
  // Milliseconds say how long a call or a pause may take; assets never change under their address.
  const noLifetime = /Ms\b|\bms\b|max-age/i;
  for (const name of files) {
    const lines = (await readFile(join(src, name), 'utf8')).split('\n');
    for (const line of lines)
      if (/\b(900|960|3600|86_?400|31_?536_?000)\b/.test(line) && !noLifetime.test(line))
        found.push(`${name}: ${line}`);
  }
  expect(found).toEqual([]);
});
