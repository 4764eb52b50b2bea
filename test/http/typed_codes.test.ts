/** Codes as people type them, and what a refused one tells: the form, the clock of the phone, a secret that cannot be read. */
import { generateSync } from 'otplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prove } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import type { Person } from '../support/person.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const verify = async (person: Person, uid: string, code: string) => {
  const { status, body } = await person.step(uid, 'totp/verify', { code });
  return { status, error: body.error, message: body.message };
};
const fullWidth = (digits: string) =>
  digits.replace(/\d/g, (digit) => String.fromCharCode(0xff10 + Number(digit)));

test('TOTP: a code is accepted however people write it, with spaces, hyphens or full-width digits', async () => {
  const ada = createPerson(server, 'writes-freely');
  const uid = await begin(ada);
  await ada.register(uid);
  ada.totpSecret = (await ada.step(uid, 'totp/setup', {})).body.secret;
  const first = await ada.step(uid, 'totp/verify-setup', { code: ada.code().replace(/^(...)/, '$1 ') });
  expect(first.status).toBe(200);
  for (const written of [
    (code: string) => ` ${code.slice(0, 3)} ${code.slice(3)} `,
    (code: string) => `${code.slice(0, 3)}-${code.slice(3)}`,
    (code: string) => `${code.slice(0, 3)}\u00a0${code.slice(3)}`,
    fullWidth,
  ]) {
    const { person, uid: next } = await afterPassword(server, ada);
    const code = written(person.code());
    expect([code, (await verify(person, next, code)).status]).toEqual([code, 200]);
  }
  const recovery = String(first.body.recovery_codes[0]);
  const { person, uid: last } = await afterPassword(server, ada);
  const typed = recovery.toUpperCase().replaceAll('-', ' \u2013 ');
  expect((await verify(person, last, typed)).status).toBe(200);
});

test('TOTP: what cannot be a code is refused with its reason and counts as no failure', async () => {
  const bob = await signUp(server, 'mistypes');
  const { person, uid } = await afterPassword(server, bob);
  for (let round = 0; round < 4; round++) {
    for (const code of ['', '12345', '1234567', '12a456', 'abcd-efgh', '٢٨٧٠٨٢', 'abcd-efgh-ijk0']) {
      const { status, error, message } = await verify(person, uid, code);
      expect([code, status, error]).toEqual([code, 400, 'malformed_code']);
      expect(message).toMatch(/six digits/);
    }
  }
  const page = await person.agent
    .post(`/interaction/${uid}/totp/verify`)
    .type('form')
    .set('accept', 'text/html')
    .send({ code: '12345' });
  expect([page.status, page.text]).toEqual([400, expect.stringContaining('six digits')]);
  expect((await verify(person, uid, person.code())).status).toBe(200);

  // The account page asks the same way, and so does the set-up.
  for (let round = 0; round < 6; round++)
    expect((await prove(person, 'authenticator', '12 34')).status).not.toBe(429);
  await person.agent.get('/account');
});

test('TOTP: a code of another time step says that the clock is off, and is good for nothing afterwards', async () => {
  const carol = await signUp(server, 'clock-off');
  server.clock.advance(900);
  for (const steps of [-6, 6]) {
    const { person, uid } = await afterPassword(server, carol);
    const code = codeAt(server, carol, steps);
    const told = await verify(person, uid, code);
    expect([steps, told.status, told.error]).toEqual([steps, 401, 'invalid_code']);
    expect(told.message).toMatch(/clock/);
    server.clock.advance(steps > 0 ? steps * 30 : 0);
    // Its time has come, or is past: whoever guessed it has learnt nothing that is of use.
    const later = await afterPassword(server, carol);
    expect([steps, (await verify(later.person, later.uid, code)).status]).toEqual([steps, 401]);
    expect((await verify(later.person, later.uid, later.person.code())).status).toBe(200);
  }
  const { person, uid } = await afterPassword(server, carol);
  const farOff = await verify(person, uid, codeAt(server, carol, 100));
  expect(farOff.message).not.toMatch(/clock is/);
});

test('TOTP: the clock is spoken of at the set-up too', async () => {
  const person = createPerson(server, 'clock-off-at-first');
  const uid = await begin(person);
  await person.register(uid);
  const { secret } = (await person.step(uid, 'totp/setup', {})).body;
  const code = generateSync({ secret, epoch: Math.floor(server.clock.now() / 1000) + 300 });
  const told = await person.step(uid, 'totp/verify-setup', { code });
  expect([told.status, told.body.message]).toEqual([401, expect.stringMatching(/clock/)]);
});

test('TOTP: every hint about the clock costs an attempt', async () => {
  const dora = await signUp(server, 'asks-the-clock');
  server.clock.advance(900);
  const { person, uid } = await afterPassword(server, dora);
  const answers = [];
  for (let steps = -8; steps < -2; steps++)
    answers.push((await verify(person, uid, codeAt(server, dora, steps))).status);
  expect(answers).toEqual([401, 401, 401, 401, 401, 429]);
});

test('TOTP: a secret that cannot be read is a 503 with an audit event, and the attempt stays charged', async () => {
  const eve = await signUp(server, 'unreadable');
  const [{ id } = { id: '' }] = await server.database.query<{ id: string }>(
    `update accounts set totp_secret = set_byte(totp_secret, 20, get_byte(totp_secret, 20) # 1)
     where username_key = 'unreadable' returning id`,
  );
  const { person, uid } = await visit(server, 'unreadable', eve);
  expect((await person.provePassword(uid)).status).toBe(200);
  const answers = [];
  for (let attempt = 0; attempt < 6; attempt++)
    answers.push((await verify(person, uid, codeAt(server, eve))).status);
  expect(answers).toEqual([503, 503, 503, 503, 503, 429]);
  await server.audit.flush();
  const events = await server.database.query(
    "select event from audit_log where account_id = $1 and event = 'totp.unreadable'",
    [id],
  );
  expect(events).toHaveLength(5);
  expect(server.logged()).toContain('cannot be read');
  // The recovery codes need no secret.
  server.clock.advance(3600);
  const later = await afterPassword(server, eve);
  expect((await verify(later.person, later.uid, String(eve.recoveryCodes[0]))).status).toBe(200);
});
