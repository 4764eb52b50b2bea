/**
 * Asks each provider for what must be answered whatever happens to storage, ten times a second, and watches the harness
 * itself for lateness.
 */
import { createCaller } from './caller.ts';
import type { Deployment } from './deployment.ts';

const everyMs = 100;
const lateMs = 50;
const paths = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/jwks',
  'paseto keys': '/.well-known/paseto-keys',
};

/** Starts probing; the returned function stops it. */
export function startProbes({ providers, history }: Deployment): () => void {
  const caller = createCaller(
    providers.map(({ port }) => port),
    history,
    -1,
  );
  let round = 0;
  let expected = history.now() + everyMs;
  const timer = setInterval(() => {
    const late = history.now() - expected;
    if (late > lateMs) history.add({ type: 'lag', at: history.now() - late, ms: Math.round(late) });
    expected = history.now() + everyMs;
    const [op, path] = Object.entries(paths)[round++ % 3] as [string, string];
    for (const via of providers.keys()) {
      void caller.call(via, { op, success: ({ status }) => status === 200 }, { path });
    }
  }, everyMs);
  return () => clearInterval(timer);
}
