/**
 * Lockout: strangers who guess, and strangers who want to lock somebody out, against an owner at a
 * known browser, at a new one and with a live session; and an office behind one address.
 */
import { readFile } from 'node:fs/promises';
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBuckets } from '../../src/authentication/buckets.ts';
import { createFailures } from '../../src/authentication/failures.ts';
import { createKnownBrowsers } from '../../src/authentication/known_browsers.ts';
import { startLogin } from '../../src/browser/opaque_client.ts';
import { createNetworks } from '../../src/http/networks.ts';
import { openAccount, prove } from '../support/account_page.ts';
import { apps } from '../support/apps.ts';
import { cookieHeader, cookiesOf } from '../support/cookies.ts';
import { createPerson, type Person } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { openStores } from '../support/stores.ts';
import { afterPassword, begin, codeAt, signUp, visit } from '../support/visits.ts';

const settings = { TRUSTED_PROXIES: '127.0.0.1', LIMIT_ADDRESS_PER_MINUTE: '600' };
const [day, hour] = [86_400, 3600];
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps), settings });
});
afterAll(() => server.close());

/** A stranger's browser: begins a login at each name that it is given, and never ends it. */
async function stranger(at = server) {
  const { person, uid } = await visit(at, 'stranger');
  const cookie = cookieHeader(cookiesOf(person, `/interaction/${uid}`));
  return async (username: string, address: string) => {
    const post = request(at.url).post(`/interaction/${uid}/login/init`).set('Cookie', cookie);
    return (await post.set('X-Forwarded-For', address).send({ username, ke1: 'x' })).status;
  };
}

/** Signs in in a browser that nobody knows; waits as long as it is told. Returns how many seconds that was. */
async function secondsInNewBrowser(owner: Person, address: string): Promise<number> {
  const { person, uid } = await visit(server, owner.username, owner);
  person.agent.set('X-Forwarded-For', address);
  for (let waited = 0; waited < hour; ) {
    const answer = await person.provePassword(uid);
    if (answer.status === 200) {
      expect((await person.step(uid, 'totp/verify', { code: person.code() })).status).toBe(200);
      return waited;
    }
    expect(answer.status).toBe(429);
    const seconds = Number(answer.headers['retry-after']);
    waited += seconds;
    server.clock.advance(seconds);
  }
  return hour;
}

async function signsInAgain(owner: Person): Promise<number> {
  const uid = await begin(owner, apps.intranet, { prompt: 'login' });
  const proved = await owner.provePassword(uid);
  if (proved.status !== 200) return proved.status;
  return (await owner.step(uid, 'totp/verify', { code: owner.code() })).status;
}

test('Lockout: one address guesses every quarter of an hour for days: the owner signs in at once, in a known browser and in a new one', async () => {
  const ada = await signUp(server, 'ada');
  for (let quarter = 0; quarter < 3 * 96; quarter += 4) {
    const guess = await stranger();
    for (let n = 0; n < 4; n++) {
      await guess('ada', '198.51.100.1');
      server.clock.advance(900);
    }
  }
  await (await stranger())('ada', '198.51.100.1');
  expect(await signsInAgain(ada)).toBe(200);
  expect(await secondsInNewBrowser(ada, '203.0.113.1')).toBe(0);
});

test('Lockout: guesses from hundreds of addresses for days: at once in a known browser, within a minute in a new one', async () => {
  const bob = await signUp(server, 'bob');
  let [guessed, refused] = [0, 0];
  for (let hours = 0; hours < 48; hours++) {
    const guess = await stranger();
    const burst = Array.from({ length: 20 }, (_, n) => guess('bob', `198.51.${hours}.${n}`));
    for (const status of await Promise.all(burst)) status === 429 ? refused++ : guessed++;
    server.clock.advance(hour);
  }
  expect(guessed).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(200);
  const guess = await stranger();
  for (let n = 0; n < 120; n++) await guess('bob', `198.51.200.${n}`);
  expect(await signsInAgain(bob)).toBe(200);
  await guess('bob', '198.51.201.1');
  expect(await secondsInNewBrowser(bob, '203.0.113.1')).toBeLessThanOrEqual(60);
});

test('Lockout: a browser is known to several accounts, and each of them signs in there whatever strangers do', async () => {
  const eve = await signUp(server, 'eve');
  const fay = createPerson(server, 'fay');
  Object.assign(fay, { agent: eve.agent });
  const others = createPerson(server, 'fay');
  await others.signUp(await begin(others));
  Object.assign(fay, { totpSecret: others.totpSecret });
  const uid = await begin(eve, apps.intranet, { prompt: 'login' });
  const inHers = async (person: Person, at: string) => {
    const login = await startLogin(person.password, IdentityMemHardFn);
    const init = await eve.step(at, 'login/init', { username: person.username, ke1: login.ke1 });
    if (init.status !== 200) return init.status;
    await eve.step(at, 'login/finish', { ke3: await login.finish(init.body.ke2) });
    return (await eve.step(at, 'totp/verify', { code: person.code() })).status;
  };
  expect(await inHers(fay, uid)).toBe(200);
  const guess = await stranger();
  for (const name of ['eve', 'fay']) for (let n = 0; n < 6; n++) await guess(name, '127.0.0.1');
  for (const person of [eve, fay, eve, fay])
    expect([
      person.username,
      await inHers(person, await begin(eve, apps.intranet, { prompt: 'login' })),
    ]).toEqual([person.username, 200]);
});

test('Lockout: whoever has a live session proves the password there, also where the browser is no known device', async () => {
  const gil = createPerson(server, 'gil');
  await openAccount(gil);
  const uid = await begin(gil, apps.intranet, { prompt: 'login' });
  const guess = await stranger();
  for (let n = 0; n < 6; n++) await guess('gil', '127.0.0.1');
  for (let n = 0; n < 110; n++) await guess('gil', `198.51.100.${n}`);
  const prove = async (path: string, body: object) => {
    const { cypher_device: _, ...cookies } = cookiesOf(gil, path);
    const login = await startLogin(gil.password, IdentityMemHardFn);
    const post = request(server.url).post(path).set('Cookie', cookieHeader(cookies));
    return (await post.send({ ...body, ke1: login.ke1 })).status;
  };
  expect(await prove('/account/password/proof/init', {})).toBe(200);
  expect(await prove(`/interaction/${uid}/login/init`, { username: 'gil' })).toBe(200);
  // Of another account the session says nothing.
  await signUp(server, 'hal');
  for (let n = 0; n < 6; n++) await guess('hal', '127.0.0.1');
  expect(await prove(`/interaction/${uid}/login/init`, { username: 'hal' })).toBe(429);
});

test('Lockout: five hundred people behind one address sign in within five minutes, some of whom mistype', async () => {
  const people: Person[] = [];
  for (let n = 0; n < 10; n++) people.push(await signUp(server, `office-${n}`));
  const office = '203.0.113.50';
  const statuses: number[] = [];
  for (let batch = 0; batch < 50; batch++) {
    const signIns = people.map(async (owner, n) => {
      const { person, uid } = await visit(server, owner.username, owner);
      person.agent.set('X-Forwarded-For', office);
      // One in ten: of five hundred people each has a name of their own, of which there are fewer here.
      if ((batch + n) % 10 === 0)
        await person.loginInit(uid, { username: `mistyped-${batch}`, password: 'mistyped' });
      statuses.push((await person.provePassword(uid)).status);
    });
    await Promise.all(signIns);
    server.clock.advance(6);
  }
  expect(statuses.filter((status) => status === 200)).toHaveLength(500);
});

test('Lockout: one address that fails at many names waits longer and longer; known browsers behind it do not', async () => {
  const ida = await signUp(server, 'ida');
  // Failures of an address are counted by the hour.
  server.clock.advance(hour - (Math.floor(server.clock.now() / 1000) % hour));
  const guess = await stranger();
  let evaluated = 0;
  for (let n = 0; n < 320; n++) if ((await guess(`nobody-${n}`, '127.0.0.1')) === 400) evaluated++;
  expect(evaluated).toBe(300);
  const waits = [];
  for (let n = 0; n < 4; n++) {
    const { person, uid } = await visit(server, `nobody-else-${n}`);
    const { answer } = await person.loginInit(uid);
    waits.push(Number(answer.headers['retry-after']));
    server.clock.advance(waits.at(-1) ?? 0);
    expect((await person.loginInit(uid)).answer.status).toBe(200);
  }
  // Seconds have passed since the failure before.
  expect(waits.map((seconds) => Math.ceil(seconds / 30) * 30)).toEqual([30, 60, 120, 240]);
  expect(await guess('nobody', '127.0.0.1')).toBe(429);
  expect(await signsInAgain(ida)).toBe(200);
  expect(await guess('nobody', '127.0.0.2')).toBe(400);
});

test('Lockout: whoever has stolen a password has twenty wrong codes a day, from however many browsers and addresses', async () => {
  const jon = await signUp(server, 'jon');
  const wrongCode = () => {
    const right = [-1, 0, 1].map((steps) => codeAt(server, jon, steps));
    return ['111111', '222222', '333333', '444444'].find((code) => !right.includes(code)) ?? '';
  };
  server.clock.advance(day - (Math.floor(server.clock.now() / 1000) % day));
  let evaluated = 0;
  for (let n = 0; n < 40; n++) {
    const { person, uid } = await visit(server, 'jon', jon);
    person.agent.set('X-Forwarded-For', `198.51.100.${n}`);
    if ((await person.provePassword(uid)).status !== 200) continue;
    const { status } = await person.step(uid, 'totp/verify', { code: wrongCode() });
    if (status === 401) evaluated++;
    else expect(status).toBe(429);
    server.clock.advance(600);
  }
  expect(evaluated).toBe(20);
  // The owner is kept from nothing where they are known.
  expect(await signsInAgain(jon)).toBe(200);
  await openAccount(jon);
  expect((await prove(jon, 'password')).status).toBe(200);
  server.clock.advance(day);
  const { person, uid } = await afterPassword(server, jon);
  expect((await person.step(uid, 'totp/verify', { code: wrongCode() })).status).toBe(401);
});

/** Attempts at an account by browsers that it does not know, from any address: on the real counts, with a clock that is turned. */
async function openCounts() {
  const stores = await openStores();
  const { now } = stores;
  const knownBrowsers = createKnownBrowsers(() => [Buffer.alloc(32, 1)]);
  const limits = { account: 5, address: 300 };
  const networksOf = createNetworks([]);
  const buckets = createBuckets({ key: Buffer.alloc(32, 2), knownBrowsers, networksOf, limits, now });
  const failures = createFailures(stores.database, now);
  return {
    ...stores,
    secondsOfDay: () => (now() / 1000) % day,
    /** 0 where the attempt is evaluated; else how many seconds it has to wait. */
    attempt(address: string): Promise<number> {
      const browser = { address, agent: '', known: undefined, sessionUid: undefined };
      return failures.charge(buckets.ofPassword('kim', browser)).then(
        () => 0,
        (error) => {
          if (error.status !== 429) throw error;
          return error.retryAfterSeconds;
        },
      );
    },
  };
}

const ipv4 = (n: number) => `100.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;

test('Lockout: a million guesses a day spread over addresses: at most 2,120 reach one account', async () => {
  const counts = await openCounts();
  try {
    let addresses = 0;
    /** Which have failed: of each as many more tries as are free. */
    const failed: string[] = [];
    let reached = 0;
    const guesses = async (from: string[]) => {
      const waits = await Promise.all(from.map(counts.attempt));
      const evaluated = from.filter((_, n) => waits[n] === 0);
      reached += evaluated.length;
      return evaluated;
    };
    const fromNew = async (count: number) => {
      const evaluated = await guesses(Array.from({ length: count }, () => ipv4(addresses++)));
      failed.push(...evaluated.flatMap((address) => [address, address, address]));
    };
    const fromFailed = (count: number) => guesses(failed.splice(0, count));
    // From noon to noon, so that two days of the calendar are in it. What comes between two moments at which the account
    // listens is refused and changes nothing, and is not sent here.
    counts.pass(1.5 * day - counts.secondsOfDay());
    for (let n = 0; n < 5; n++) await fromNew(15);
    expect(reached).toBe(50);
    for (let n = 0; n < 5; n++) await fromFailed(15);
    expect(reached).toBe(100);
    for (let seconds = 60; seconds < day; seconds += 60) {
      counts.pass(60);
      await fromNew(2);
      if (seconds % 180 === 0) await fromFailed(2);
    }
    expect(reached).toBeLessThanOrEqual(2120);
    expect(reached).toBeGreaterThan(2000);
    const page = await readFile(new URL('../../docs/security/guessing.md', import.meta.url), 'utf8');
    expect(page).toContain('2,120');
  } finally {
    await counts.close();
  }
});

const hex = (n: number) => (n % 65_536).toString(16).padStart(2, '0');

test.each([
  { who: 'one /56 of IPv6', address: (n: number) => `2001:db8:1:23${hex(n % 256)}::1`, hours: 12, most: 60 },
  { who: 'one /48 of IPv6', address: (n: number) => `2001:db8:1:${hex(n)}::1`, hours: 6, most: 110 },
  { who: 'eighty hosts of IPv4', address: (n: number) => ipv4(n % 80), hours: 6, most: 300 },
])(
  'Lockout: strangers at $who poll before the owner at every turn: the owner at a new address gets in within a minute',
  async ({ address, hours, most }) => {
    const counts = await openCounts();
    try {
      counts.pass(day - counts.secondsOfDay());
      const start = counts.now();
      let [next, reached] = [0, 0];
      const strangersPoll = async (times: number) => {
        for (let n = 0; n < times; n++) if ((await counts.attempt(address(next++))) === 0) reached++;
      };
      await strangersPoll(400);
      const waits: number[] = [];
      for (let hoursAgo = 2; hoursAgo <= hours; hoursAgo++) {
        while (counts.now() < start + hoursAgo * hour * 1000) {
          counts.pass(45);
          await strangersPoll(2);
        }
        // Every hour at another new address. The strangers come first at each turn.
        let waited = 0;
        for (let wait = 1; wait > 0 && waited <= 300; waited += wait) {
          wait = await counts.attempt(`203.0.113.${hoursAgo}`);
          counts.pass(wait);
          await strangersPoll(wait > 0 ? 2 : 0);
        }
        waits.push(waited);
      }
      expect(Math.max(...waits)).toBeLessThanOrEqual(60);
      expect(reached).toBeLessThanOrEqual(most);
    } finally {
      await counts.close();
    }
  },
);

test('Lockout: of IPv6 a /64 counts as one address, and a /56 and a /48 have bounds of their own; trusted networks may do more', () => {
  const networksOf = createNetworks(['203.0.113.0/24', '2001:db8:5::/48']);
  expect(networksOf('198.51.100.1')).toEqual([{ key: '198.51.100.1', times: 1, timesBySize: 1 }]);
  expect(networksOf('203.0.113.9')).toEqual([{ key: '203.0.113.9', times: 20, timesBySize: 1 }]);
  expect(networksOf('2001:db8:1:2345:6::7')).toEqual([
    { key: '2001:db8:1:2345/64', times: 1, timesBySize: 1 },
    { key: '2001:db8:1:2300/56', times: 4, timesBySize: 4 },
    { key: '2001:db8:1/48', times: 16, timesBySize: 16 },
  ]);
  expect(networksOf('2001:db8:1::')[0]).toEqual({ key: '2001:db8:1:0/64', times: 1, timesBySize: 1 });
  expect(networksOf('2001:db8:5::1').map(({ times }) => times)).toEqual([20, 80, 320]);
});

test('Rate limits: addresses of one /56 share its bound, whichever /64 they are of; a trusted network has a higher one', async () => {
  const limited = await startServer({
    clients: Object.values(apps),
    settings: { ...settings, LIMIT_ADDRESS_PER_MINUTE: '3', TRUSTED_NETWORKS: '203.0.113.0/24' },
  });
  try {
    const guess = await stranger(limited);
    let names = 0;
    const passed = async (count: number, address: (n: number) => string) => {
      const answers: number[] = [];
      for (let n = 0; n < count; n++) answers.push(await guess(`name-${names++}`, address(n)));
      return answers.filter((status) => status === 400).length;
    };
    expect(await passed(5, () => '198.51.100.1')).toBe(3);
    expect(await passed(65, () => '203.0.113.7')).toBe(60);
    expect(await passed(20, (n) => `2001:db8:1:11${n.toString(16).padStart(2, '0')}::1`)).toBe(12);
    expect(await passed(2, (n) => `2001:db8:1:12${n.toString(16).padStart(2, '0')}::1`)).toBe(2);
  } finally {
    await limited.close();
  }
});
