/** The session cookie around what reads and writes the session, on the real codec, while keys change. */
import Koa from 'koa';
import request from 'supertest';
import { expect, test } from 'vitest';
import { createSessionCookie } from '../../src/oidc/session/session_cookie.ts';
import { createKeyset } from '../../src/tokens/keys.ts';
import { bytesOf, NOW, ownKeys, tokensWith } from './tokens_support.ts';

const name = '_session';

/** Who is sent the cookie of a session `id` finds the key dropped before the answer, where `dropped` says so. */
async function answerTo(id: string, { sets = id, dropped = false } = {}) {
  const tokens = tokensWith();
  const token = await tokens.seal('session', { sub: 'ada', sid: 'u', id }, { expiresAt: NOW + 900 });
  const app = new Koa();
  const lifetimeSeconds = 900;
  app.use(
    createSessionCookie({ tokens, name, lifetimeSeconds, subjectOf: () => ({}), now: () => NOW * 1000 }),
  );
  app.use((ctx) => {
    expect(ctx.cookies.get(name)).toBe(id);
    const others = ownKeys.map((key) => ({ ...key, bytes: bytesOf(key.kind === 'session' ? 99 : 1) }));
    if (dropped) tokens.useKeys(createKeyset(others));
    ctx.cookies.set(name, sets, { signed: false });
    ctx.cookies.set('other', 'stays', { signed: false });
    ctx.body = 'ok';
  });
  const { headers } = await request(app.callback()).get('/').set('Cookie', `${name}=${token}`);
  const set = [headers['set-cookie']].flat().map(String);
  const own = set.find((line) => line.startsWith(`${name}=`))?.split(/[=;]/)[1];
  expect(set.some((line) => line.startsWith('other=stays'))).toBe(true);
  return own === undefined ? undefined : (await tokens.open('session', own))?.id;
}

test('what a dropped key has opened is not sealed with the one that follows it, within one request either', async () => {
  expect(await answerTo('an-id')).toBe('an-id');
  expect(await answerTo('an-id', { dropped: true })).toBeUndefined();
});

test('a login that is completed at that moment stands: its session is a new one', async () => {
  expect(await answerTo('an-id', { sets: 'a-new-id', dropped: true })).toBe('a-new-id');
});
