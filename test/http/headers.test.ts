/** What every page and answer of the login carries, and what no request can change. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apps } from '../support/apps.ts';
import { createPerson, interactionOf } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { afterPassword, begin, codeAt, signUp, visit } from '../support/visits.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ clients: Object.values(apps) });
});
afterAll(() => server.close());

const pkce = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' };

/** What holds for every page, error pages too. */
function expectSafePage({ headers, text }: request.Response): void {
  expect(headers['content-type']).toMatch(/^text\/html; charset=utf-8/);
  const policy = String(headers['content-security-policy']);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).toContain("base-uri 'none'");
  expect(policy).toContain("script-src 'self';");
  expect(policy).not.toMatch(/unsafe|\*/);
  expect(headers['x-frame-options']).toBe('DENY');
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['referrer-policy']).toBe('no-referrer');
  expect(headers['cache-control']).toMatch(/no-store/);
  expect(headers['access-control-allow-origin']).toBeUndefined();
  expect(text).not.toMatch(/<script(?![^>]*\ssrc="\/)|<style|\sstyle=|\son[a-z]+=|["']javascript:/i);
}

const form = (person: { agent: ReturnType<typeof createPerson>['agent'] }, path: string, body: object) =>
  person.agent.post(path).type('form').set('Accept', 'text/html').send(body);

test('Headers: every page from sign-up to consent and sign-out; forms lead on or show the page with the error', async () => {
  const ada = createPerson(server, 'ada');
  const uid = await begin(ada, apps.web, pkce);
  const page = `/interaction/${uid}`;
  for (const path of [page, `${page}/register`]) expectSafePage(await ada.agent.get(path));
  await ada.register(uid);
  const setup = await ada.agent.get(page);
  expectSafePage(setup);
  const wrong = await form(ada, `${page}/totp/verify-setup`, { code: '000000' });
  expect(wrong.status).toBe(401);
  expectSafePage(wrong);
  expect(wrong.text).toMatch(/aria-invalid="true"[\s\S]*This code is wrong/);
  const secretOf = ({ text }: request.Response) => /data-testid="totp-secret">(.*?)<\/p>/.exec(text)?.[1];
  expect(secretOf(wrong)).toBe(secretOf(setup));
  ada.totpSecret = String(secretOf(setup)).replace(/<[^>]*>/g, '');
  const confirmed = await form(ada, `${page}/totp/verify-setup`, { code: ada.code() });
  expect([confirmed.status, confirmed.headers.location]).toEqual([303, `${page}/recovery-codes`]);
  const codes = await ada.agent.get(`${page}/recovery-codes`);
  expect(codes.status).toBe(200);
  expectSafePage(codes);
  expect(codes.text.match(/data-testid="recovery-code"/g)).toHaveLength(10);
  const consentAt = await ada.agent.get(`/auth/${uid}`);
  expect(consentAt.status).toBe(303);
  const consent = interactionOf(new URL(String(consentAt.headers.location), server.url));
  const consentPage = await ada.agent.get(`/interaction/${consent}`);
  expectSafePage(consentPage);
  expect(consentPage.headers['content-security-policy']).toContain("form-action 'self';");
  const nonsense = await form(ada, `/interaction/${consent}/consent`, { decision: 'perhaps' });
  expect(nonsense.status).toBe(400);
  expectSafePage(nonsense);
  const allowed = await form(ada, `/interaction/${consent}/consent`, { decision: 'allow' });
  // The app's callback may redirect anywhere: what browsers hold to form-action ends at this page.
  expect([allowed.status, allowed.headers.location]).toEqual([200, undefined]);
  expect(allowed.headers.refresh).toBe(`0;url=${server.url}/auth/${consent}`);
  expectSafePage(allowed);
  const back = await ada.follow(new URL(`${server.url}/auth/${consent}`));
  expect(back.searchParams.get('code')).toBeTruthy();
  for (const path of ['/', '/session/end', '/session/end/success']) expectSafePage(await ada.agent.get(path));
});

test('Headers: the pages of the code and the recovery code; an error stands beside the field', async () => {
  const bob = await signUp(server, 'bob');
  const { person, uid } = await afterPassword(server, bob);
  const page = `/interaction/${uid}`;
  for (const path of [page, `${page}/recovery`]) expectSafePage(await person.agent.get(path));
  const wrong = await form(person, `${page}/totp/verify`, { code: '000000' });
  expect(wrong.status).toBe(401);
  expectSafePage(wrong);
  expect(wrong.text).toMatch(
    /Enter your code[\s\S]*id="code"[^>]*aria-invalid="true"[\s\S]*code-error[^>]*>This code is wrong/,
  );
  const recovery = await form(person, `${page}/totp/verify?recovery`, { code: 'aaaa-bbbb-cccc' });
  expect(recovery.status).toBe(401);
  expect(recovery.text).toMatch(
    /Use a recovery code[\s\S]*id="code"[^>]*aria-invalid="true"[\s\S]*This code is wrong/,
  );
  const right = await form(person, `${page}/totp/verify`, { code: codeAt(server, bob, 1) });
  expect([right.status, right.headers.refresh]).toEqual([200, `0;url=${server.url}/auth/${uid}`]);
});

test('Headers: a form that comes too late or too often is answered by a page that helps', async () => {
  const carol = await signUp(server, 'carol');
  const late = await afterPassword(server, carol);
  server.clock.advance(200);
  const expired = await form(late.person, `/interaction/${late.uid}/totp/verify`, { code: carol.code() });
  expect(expired.status).toBe(401);
  expectSafePage(expired);
  expect(expired.text).toMatch(/Your password entry has expired[\s\S]*autocomplete="current-password"/);
  const { person, uid } = await afterPassword(server, carol);
  const answers = [];
  for (let n = 0; n < 6; n++)
    answers.push(await form(person, `/interaction/${uid}/totp/verify`, { code: '000000' }));
  const blocked = answers.at(-1) as request.Response;
  expect([blocked.status, blocked.headers['retry-after']]).toEqual([429, '30']);
  expect(blocked.text).toMatch(/aria-invalid="true"[\s\S]*Too many attempts. Try again in 30 seconds/);
  expectSafePage(blocked);
});

test('Headers: error pages are pages like all others', async () => {
  const client_id = 'no-such-app';
  for (const [path, status] of [
    ['/nowhere', 404],
    ['/interaction/unknown', 400],
    ['/auth', 400],
    [`/auth?client_id=${client_id}`, 400],
    ['/auth/unknown', 400],
    ['/session/end?id_token_hint=x', 400],
  ] as const) {
    const answer = await request(server.url).get(path).set('Accept', 'text/html');
    expect([path, answer.status]).toEqual([path, status]);
    expectSafePage(answer);
    const id = answer.headers['x-request-id'];
    expect(answer.text).toContain(id);
    expect(server.logged()).toContain(id);
  }
});

test('Headers: the page between two accounts holds to the same rules', async () => {
  const dora = await signUp(server, 'dora');
  await dora.follow(await dora.signIn(await begin(dora, apps.intranet, { prompt: 'login' })));
  const erik = await signUp(server, 'erik');
  Object.assign(dora, { totpSecret: erik.totpSecret });
  const uid = await begin(dora, apps.intranet, { prompt: 'login' });
  const { ke3 } = await dora.loginInit(uid, { username: 'erik' });
  await dora.step(uid, 'login/finish', { ke3 });
  const { body } = await dora.step(uid, 'totp/verify', { code: dora.code() });
  const page = await dora.agent.get(new URL(body.location).pathname);
  expect(page.status).toBe(200);
  expect(page.headers['content-security-policy']).toMatch(/frame-ancestors 'none'/);
  expect(page.headers['content-security-policy']).not.toContain('unsafe-inline');
  expect(page.headers['content-security-policy']).toMatch(/script-src 'self' 'sha256-[^']+'/);
  expect(page.headers['content-security-policy']).toContain("form-action 'self';");
  expect(page.headers['cache-control']).toMatch(/no-store/);
});

test('errors have the shape {error, message, id}, and the id is in the log', async () => {
  const { person, uid } = await visit(server, 'nobody');
  const answers = [
    await person.step(uid, 'login/init', { username: 'a b', ke1: 'x' }),
    await person.step(uid, 'login/finish', { ke3: 'A'.repeat(43) }),
    await person.step(uid, 'consent', { decision: 'allow' }),
    await person.step('another', 'login/init', {}),
    await person.step(uid, 'no/such/step', {}),
    await person.agent.post(`/interaction/${uid}/login/init`).set('Origin', 'https://evil.example').send({}),
  ];
  expect(answers.map(({ status }) => status)).toEqual([400, 401, 401, 400, 404, 403]);
  for (const { body, headers } of answers) {
    expect(Object.keys(body)).toEqual(['error', 'message', 'id']);
    expect(body.id).toBe(headers['x-request-id']);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(server.logged()).toContain(`"id":"${body.id}"`);
  }
});
