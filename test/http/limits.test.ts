/** Attempts are counted per account, whatever address, browser or spelling they come from; known devices count apart. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps), settings: { TRUSTED_PROXIES: '127.0.0.1' } });
});
afterAll(() => server.close());

/** One guess at this account from an address and a browser of its own: KE1, and KE3 if wanted. */
async function guess(name: string, address: string, finish = false) {
  const { person, uid } = await visit(server, name);
  person.agent.set('X-Forwarded-For', address);
  const { answer } = await person.loginInit(uid, { password: 'a wrong password' });
  if (finish) await person.step(uid, 'login/finish', { ke3: 'A'.repeat(43) });
  return answer;
}

const daySeconds = 86_400;

/** A wait of whole half minutes, some seconds of which may have passed already. */
const begun = (seconds: number): number => Math.ceil(seconds / 30) * 30;

test('Rate limits: wrong passwords from one address wait longer and longer; one guess an address, and the limit of the account holds', async () => {
  // Some counts are by the day, and this takes hours.
  server.clock.advance(daySeconds - ((server.clock.now() / 1000) % daySeconds));
  const ada = await signUp(server, 'ada');
  for (let n = 1; n <= 5; n++) expect((await guess('ada', '198.51.100.1', true)).status).toBe(200);
  const delays = [];
  for (let n = 6; n <= 14; n++) {
    const refused = await guess('ada', '198.51.100.1');
    expect([refused.status, refused.body.error]).toEqual([429, 'too_many_requests']);
    const seconds = Number(refused.headers['retry-after']);
    delays.push(seconds);
    server.clock.advance(seconds);
    expect((await guess('ada', '198.51.100.1')).status).toBe(200);
  }
  expect(delays.map(begun)).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);

  // From addresses that have not failed at this account: fifty a day in all, and the first one above was one of them.
  for (let n = 2; n <= 50; n++) expect((await guess('ada', `203.0.113.${n}`)).status).toBe(200);
  const waits = [];
  for (let n = 51; n <= 54; n++) {
    const refused = await guess('ada', `203.0.113.${n}`);
    waits.push([refused.status, begun(Number(refused.headers['retry-after']))]);
    server.clock.advance(60);
    expect((await guess('ada', `203.0.113.${n}`)).status).toBe(200);
  }
  expect(waits).toEqual(Array(4).fill([429, 60]));
  // The owner too waits at a browser that is not known, and no longer.
  const { person, uid } = await visit(server, 'ada', ada);
  expect((await person.provePassword(uid)).status).toBe(429);
  server.clock.advance(60);
  expect((await person.provePassword(uid)).status).toBe(200);
});

test('Rate limits: KE1 without KE3 counts as a failure; a right password takes its own charge back', async () => {
  const bob = await signUp(server, 'bob');
  for (let n = 1; n <= 10; n++) await afterPassword(server, bob);
  for (let n = 1; n <= 5; n++) expect((await guess('bob', '198.51.100.1')).status).toBe(200);
  expect((await guess('bob', '198.51.100.1')).status).toBe(429);
});

test('Rate limits: a completed login forgets the failures before it', async () => {
  const carol = await signUp(server, 'carol');
  for (let round = 1; round <= 3; round++) {
    for (let n = 1; n <= 4; n++) expect((await guess('carol', '198.51.100.2')).status).toBe(200);
    const { person, uid } = await visit(server, 'carol', carol);
    person.agent.set('X-Forwarded-For', '198.51.100.2');
    await person.signIn(uid);
  }
});

test('Rate limits: unknown users get the identical 429', async () => {
  await signUp(server, 'dora');
  const seen = [];
  for (const name of ['dora', 'no-such-dora']) {
    for (let n = 1; n <= 5; n++) expect((await guess(name, '198.51.100.3', true)).status).toBe(200);
    const { status, body, headers } = await guess(name, '198.51.100.3');
    const { date, 'x-request-id': id, ratelimit, ...rest } = headers;
    expect([date, id, ratelimit]).not.toContain(undefined);
    seen.push({ status, body: { ...body, id: body.id.length }, names: Object.keys(headers), headers: rest });
  }
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[0]).toMatchObject({ status: 429, headers: { 'retry-after': '30' } });
});

test('Rate limits: strangers do not lock a known device out, and no forged device passes as one', async () => {
  const eve = await signUp(server, 'eve');
  const mallory = await signUp(server, 'mallory');
  // The test's own browsers are at this address.
  for (let n = 1; n <= 5; n++) await guess('eve', '127.0.0.1');
  const own = cookiesOf(eve, '/').cypher_device ?? '';
  const stranger = cookiesOf(mallory, '/').cypher_device ?? '';
  const withDevice = async (device: string) => {
    const { person, uid } = await visit(server, 'eve');
    const init = person.agent.post(`/interaction/${uid}/login/init`);
    const cookies = { ...cookiesOf(person, `/interaction/${uid}`), cypher_device: device };
    return (await init.set('Cookie', cookieHeader(cookies)).send({ username: 'eve', ke1: 'x' })).status;
  };
  const [id, mac] = own.split('.');
  for (const device of [
    '',
    stranger,
    `${id}.${stranger.split('.')[1]}`,
    `${id}x.${mac}`,
    `${id}.`,
    `.${mac}`,
  ]) {
    expect([device, await withDevice(device)]).toEqual([device, 429]);
  }
  expect(await withDevice(own)).toBe(400);
  // The device's own failures count against it alone, up to the same limit.
  const uid = await begin(eve, apps.intranet, { prompt: 'login' });
  await eve.signIn(uid);
  for (let n = 1; n <= 5; n++) expect(await withDevice(own)).toBe(400);
  expect(await withDevice(own)).toBe(429);
});

/** Guesses codes until it is refused; returns how many were looked at, and how long to wait. */
async function guessCodes(owner: Person, prove: () => Promise<{ person: Person; uid: string } | undefined>) {
  for (let evaluated = 0; evaluated < 50; evaluated++) {
    const at = await prove();
    const answer = at && (await at.person.step(at.uid, 'totp/verify', { code: wrongCode(owner) }));
    if (!answer || answer.status === 429) return { evaluated, wait: Number(answer?.headers['retry-after']) };
    expect(answer.status).toBe(401);
  }
  throw new Error('fifty guesses were looked at');
}

function wrongCode(owner: Person): string {
  const right = [-1, 0, 1].map((steps) => codeAt(server, owner, steps));
  return ['111111', '222222', '333333', '444444'].find((code) => !right.includes(code)) ?? '';
}

test('Rate limits: who has the password cannot guess codes without limit by proving it again', async () => {
  const frank = await signUp(server, 'frank');
  const prove = () => afterPassword(server, frank).catch(() => undefined);
  expect((await guessCodes(frank, prove)).evaluated).toBeLessThanOrEqual(5);
  let guesses = 0;
  for (let minutes = 0; minutes < 60; minutes++) {
    server.clock.advance(60);
    guesses += (await guessCodes(frank, prove)).evaluated;
  }
  expect(guesses).toBeLessThanOrEqual(10);
});

test('Rate limits: logins begun and finished later do not buy more guesses', async () => {
  const gina = await signUp(server, 'gina');
  const begun: (() => Promise<{ person: Person; uid: string }>)[] = [];
  for (let n = 0; n < 5; n++) {
    const { person, uid } = await visit(server, 'gina', gina);
    const { ke3 } = await person.loginInit(uid);
    begun.push(async () => {
      expect((await person.step(uid, 'login/finish', { ke3 })).status).toBe(200);
      return { person, uid };
    });
  }
  const { evaluated } = await guessCodes(gina, async () => begun.pop()?.());
  expect(evaluated).toBeLessThanOrEqual(5);
  const { person, uid } = await visit(server, 'gina', gina);
  expect((await person.provePassword(uid)).status).toBe(429);
});

test('Rate limits: parallel logins of one person do not get in each other’s way', async () => {
  const hugo = await signUp(server, 'hugo');
  const visits = await Promise.all([1, 2, 3].map(() => visit(server, 'hugo', hugo)));
  const answers = await Promise.all(visits.map(({ person, uid }) => person.provePassword(uid)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
});

test('Rate limits: somebody who signs up is limited in codes too', async () => {
  const ida = createPerson(server, 'ida');
  const uid = await begin(ida);
  await ida.register(uid);
  const answers = [];
  for (let n = 0; n < 7; n++)
    answers.push((await ida.step(uid, 'totp/verify-setup', { code: '000000' })).status);
  expect(answers).toEqual([401, 401, 401, 401, 401, 429, 429]);
});
