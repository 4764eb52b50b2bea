/** A person at their account page, over HTTP: gives the proof before a change, and makes the changes. */
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { startLogin, startRegistration } from '../../src/browser/opaque_client.ts';
import type { Person } from './person.ts';

export type Change = 'password' | 'authenticator' | 'recovery-codes';

/** Follows the sign-in to the account page until it is shown; signs up the first time. */
export async function openAccount(person: Person) {
  const first = await person.agent.get('/account');
  if (first.status === 200) return first;
  const start = await person.agent.get(String(first.headers.location));
  const at = new URL(String(start.headers.location), 'http://localhost');
  const uid = /^\/interaction\/([^/]+)/.exec(at.pathname)?.[1] ?? '';
  const after = person.totpSecret
    ? await person.signIn(uid)
    : await person.signUp(uid, `${person.username}@x.example`);
  await person.agent.get(after.pathname + after.search);
  return person.agent.get('/account');
}

/** Posts a form as the page does, and follows to the page of new recovery codes where it leads there. */
export async function postForm(
  person: Person,
  path: string,
  fields: Record<string, string> = {},
  headers: Record<string, string> = {},
) {
  const form = person.agent
    .post(`/account/${path}`)
    .type('form')
    .set({ accept: 'text/html', ...headers });
  const answer = await form.send(fields);
  return answer.headers.location === '/account/new-codes'
    ? person.agent.get('/account/new-codes').accept('html')
    : answer;
}

/** The ids that the page's forms send back, in their order. */
export const idsOn = (html: string, field: 'session' | 'client'): string[] =>
  [...html.matchAll(new RegExp(`name="${field}" value="([^"]+)"`, 'g'))].map(([, id]) => String(id));

/** KE1 → KE2, and KE3; that is undefined where the password is wrong. */
export async function proofInit(person: Person, change: Change, password = person.password) {
  const login = await startLogin(password, IdentityMemHardFn);
  const answer = await person.agent.post(`/account/${change}/proof/init`).send({ ke1: login.ke1 });
  return { answer, ke3: answer.status === 200 ? await login.finish(answer.body.ke2) : undefined };
}

/** Proves password and factor for this change. */
export async function prove(person: Person, change: Change, code = person.code()) {
  const { answer, ke3 } = await proofInit(person, change);
  if (ke3 === undefined) return answer;
  return person.agent.post(`/account/${change}/proof/finish`).send({ ke3, code });
}

/** A record of the new password by the proof that this browser has; `undefined` where init refused. */
export async function newRecord(person: Person, password: string) {
  const registration = await startRegistration(password, IdentityMemHardFn);
  const answer = await person.agent.post('/account/password/init').send({ request: registration.request });
  return { answer, record: answer.status === 200 ? await registration.finish(answer.body.response) : '' };
}

export const sendRecord = (person: Person, record: string) =>
  person.agent.post('/account/password/finish').send({ record });

/** The whole change. `person.password` is the new one afterwards. */
export async function changePassword(person: Person, password: string) {
  const proved = await prove(person, 'password');
  if (proved.status !== 200) return proved;
  const { answer, record } = await newRecord(person, password);
  if (answer.status !== 200) return answer;
  const changed = await sendRecord(person, record);
  if (changed.status === 200) person.password = password;
  return changed;
}

/** The secret on the page of a set-up. */
export const secretOn = (html: string): string =>
  (/data-testid="totp-secret">(.*?)<\/p>/.exec(html)?.[1] ?? '').replaceAll(/<[^>]*>/g, '');

/** The recovery codes on a page. */
export const codesOn = (html: string): string[] =>
  [...html.matchAll(/data-testid="recovery-code">([^<]+)</g)].map(([, code]) => String(code));
