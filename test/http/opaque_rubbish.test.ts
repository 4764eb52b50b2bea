/** What is no OPAQUE message and no body: refused alike and at once, with nothing kept of it. */
import { createECDH, ECDH } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64url } from '../../src/opaque/wire.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { keptState } from '../support/stores.ts';
import { signUp, type Visit, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps), settings: { LIMIT_ACCOUNT_FAILURES: '1000' } });
  await signUp(server, 'ada');
});
afterAll(() => server.close());

const point = () => Buffer.from(createECDH('prime256v1').generateKeys('hex', 'compressed'), 'hex');
const ke1Of = (blinded: Uint8Array, keyShare: Uint8Array) =>
  toBase64url(Buffer.concat([blinded, Buffer.alloc(32, 1), keyShare]));

describe('OPAQUE: what is no point of the curve gets one uniform 400, and no state is kept', () => {
  const prefixed = (prefix: number, x: Buffer) => Buffer.concat([Buffer.of(prefix), x]);
  const p = Buffer.from('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff', 'hex');
  const offCurve = (): Buffer => {
    for (let x = 1; ; x++) {
      const candidate = prefixed(2, Buffer.from(x.toString(16).padStart(64, '0'), 'hex'));
      try {
        ECDH.convertKey(candidate, 'prime256v1');
      } catch {
        return candidate;
      }
    }
  };
  const onCurve = point();
  // 5 is the x of a point: with p added it is the same number in another spelling.
  const beyond = Buffer.from((BigInt(`0x${p.toString('hex')}`) + 5n).toString(16), 'hex');
  const bad: [string, Buffer][] = [
    ['identity', Buffer.alloc(33)],
    ['identity, one byte', Buffer.of(0)],
    ['off the curve', offCurve()],
    ['x = p', prefixed(2, p)],
    ['x > p, a point when reduced', prefixed(2, beyond)],
    ['x = 2^256 - 1', prefixed(3, Buffer.alloc(32, 255))],
    ['prefix 0', prefixed(0, onCurve.subarray(1))],
    ['prefix 4', prefixed(4, onCurve.subarray(1))],
    ['prefix 5', prefixed(5, onCurve.subarray(1))],
    ['prefix 6', prefixed(6, onCurve.subarray(1))],
    ['a byte short', onCurve.subarray(0, 32)],
    ['a byte long', Buffer.concat([onCurve, Buffer.of(0)])],
    ['nothing', Buffer.of()],
  ];

  test.each(bad)('%s', async (_name, wrong) => {
    const { person, uid } = await visit(server, 'ada');
    const record = toBase64url(Buffer.concat([wrong, Buffer.alloc(96, 1)]));
    const sent: [string, object][] = [
      ['login/init', { username: 'ada', ke1: ke1Of(wrong, onCurve) }],
      ['login/init', { username: 'ada', ke1: ke1Of(onCurve, wrong) }],
      ['login/init', { username: 'nobody', ke1: ke1Of(wrong, onCurve) }],
      ['register/init', { username: 'newcomer', request: toBase64url(wrong) }],
      ['register/finish', { username: 'newcomer', record }],
    ];
    for (const [action, body] of sent) {
      const answer = await person.step(uid, action, body);
      expect([action, answer.status, answer.body]).toEqual([
        action,
        400,
        {
          error: 'invalid_request',
          message: 'The OPAQUE message is not well formed.',
          id: expect.any(String),
        },
      ]);
    }
    expect(await keptState(server, `ke2:${uid}`)).toBe(false);
    expect(await keptState(server, `sign-up:${uid}`)).toBe(false);
  });
});

describe('OPAQUE: rubbish instead of a body gets 400 or 413 at once', () => {
  const fits = 'x'.repeat(200);
  const bodies: [string, string | Buffer, number][] = [
    ['nothing', '', 400],
    ['truncated JSON', '{"username":"ada","ke1":"AAA', 400],
    ['no JSON', '\u0000\ufffe', 400],
    ['null', 'null', 400],
    ['a number', '1e999', 400],
    ['an array', '[{"username":"ada"}]', 400],
    ['fields of other types', '{"username":["ada"],"ke1":{"length":131}}', 400],
    ['no fields', '{}', 400],
    ['__proto__', `{"__proto__":{"username":"ada","ke1":"${fits}","polluted":1}}`, 400],
    ['constructor', `{"constructor":{"prototype":{"polluted":1}},"username":"ada","ke1":"${fits}"}`, 400],
    ['depth 8,000', `${'['.repeat(8000)}${']'.repeat(8000)}`, 400],
    ['depth 10,000', '{"a":'.repeat(10_000), 413],
    ['a username without end', JSON.stringify({ username: 'a'.repeat(10_000), ke1: fits }), 400],
    ['half a surrogate', '{"username":"ada\\ud800","ke1":"AAAA"}', 400],
    ['10 MB', Buffer.alloc(10_000_000, ' '), 413],
  ];

  test.each(bodies)('%s', async (_name, body, status) => {
    const { person, uid } = await visit(server, 'ada');
    const before = process.cpuUsage();
    const answer = await postRaw({ person, uid }, 'login/init', body);
    // The server is in this process. What it computes is counted, for how long that takes is the machine's business.
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(1_000_000);
    expect(answer).toEqual({
      status,
      body: {
        error: status === 413 ? 'payload_too_large' : 'invalid_request',
        message: expect.any(String),
        id: expect.any(String),
      },
    });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(await keptState(server, `ke2:${uid}`)).toBe(false);
  });

  test('10 MB whose length is not told', async () => {
    const answer = await postRaw(
      await visit(server, 'ada'),
      'login/init',
      Buffer.alloc(10_000_000, ' '),
      true,
    );
    expect(answer.status).toBe(413);
  });

  test.each(['application/xml', 'text/plain', 'multipart/form-data; boundary=x'])('%s', async (type) => {
    const { person, uid } = await visit(server, 'ada');
    const answer = await person.agent
      .post(`/interaction/${uid}/login/init`)
      .set('Content-Type', type)
      .send('{"username":"ada","ke1":"AAAA"}');
    expect(answer.status).toBe(400);
  });

  test('a compressed body', async () => {
    const { person, uid } = await visit(server, 'ada');
    const answer = await person.agent
      .post(`/interaction/${uid}/login/init`)
      .set('Content-Encoding', 'gzip')
      .type('json')
      .send('{}');
    expect(answer.status).toBe(400);
  });

  test('an e-mail address that no database takes', async () => {
    const { person, uid } = await visit(server, 'newcomer');
    for (const email of ['a\u0000@example.org', 'a@\ud800', 'a\n@example.org', `${'a'.repeat(250)}@b.org`]) {
      const answer = await person.register(uid, email);
      expect([email, answer.status, answer.body.error]).toEqual([email, 400, 'invalid_request']);
    }
  });
});

/** Sends a body as it is; the answer is read even where the server does not read all of it. */
async function postRaw({ person, uid }: Visit, action: string, body: string | Buffer, chunked = false) {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    cookie: cookieHeader(cookiesOf(person, `/interaction/${uid}`)),
    ...(chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(Buffer.byteLength(body)) }),
  };
  return new Promise<{ status: number | undefined; body: { error: string } }>((resolve, reject) => {
    const sent = httpRequest(`${server.url}/interaction/${uid}/${action}`, { method: 'POST', headers });
    sent.on('error', reject);
    sent.on('response', async (answer) => {
      const text = (await answer.toArray()).join('');
      resolve({ status: answer.statusCode, body: JSON.parse(text) });
    });
    sent.end(body);
  });
}
