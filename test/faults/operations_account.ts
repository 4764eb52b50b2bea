/**
 * Operations on an account: a person changes the password, with one proof that is sent several times; a person signs
 * out everywhere; an operator disables the account.
 */
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { startLogin, startRegistration } from '../../src/browser/opaque_client.ts';
import { intranet, tryAccessToken } from './apps.ts';
import { must, step, visit } from './browser.ts';
import { type Answer, fingerprint } from './caller.ts';
import { silently } from './operations_arrive.ts';
import { tryEverything } from './operations_refresh.ts';
import { beginLogin, ke2Use, ke3Of, nextCode } from './sign_in.ts';
import {
  type Actor,
  alive,
  began,
  doubt,
  ended,
  Interrupted,
  type Jar,
  type Person,
  type Session,
} from './world.ts';

const post = (actor: Actor, jar: Jar, action: string, body: object, about: object = {}, via?: number) =>
  visit(actor, jar, { op: `account/${action}`, ...about }, { path: `/account/${action}`, body }, via);

type AllOf = ReturnType<typeof allOf>;

/** All that a person's account gives: apps that outlive their session, too; and a thief's copies of the browsers' cookies. */
function allOf(actor: Actor, person: Person) {
  const sessions = alive(actor.sessions).filter((session) => session.person === person);
  const families = alive(actor.families).filter(({ session }) => session.person === person);
  const tokens = alive(actor.accessTokens).filter(({ session }) => session.person === person);
  const copies = sessions.map((each): Session => ({ ...each, jar: new Map(each.jar) }));
  return { families, tokens, copies, all: [...sessions, ...families, ...tokens] };
}

export async function changePassword(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  const { person, jar } = session;
  await prove(actor, session);
  const next = `another long password ${actor.random.int(0, 1e9)}`;
  const registration = await startRegistration(next, IdentityMemHardFn);
  const init = must(await post(actor, jar, 'password/init', { request: registration.request }));
  const record = await registration.finish(String(init.response));

  const mine = allOf(actor, person);
  await Promise.all(mine.families.flatMap(({ unread }) => unread.splice(0)));
  doubt(actor, mine.all);
  const uses = [`proof:${fingerprint(jar.get('cypher_proof')?.value ?? '')}`];
  const success = ({ status }: Answer) => status === 200;
  const answers = await Promise.all(
    [0, 1].map((via) => post(actor, new Map(jar), 'password/finish', { record }, { uses, success }, via)),
  );
  if (answers.some(success)) {
    person.password = next;
    ended(actor, mine.all, 'password_changed', `password.changed account:${person.name}`);
    return tryAll(actor, mine);
  }
  // An answer that was lost: whoever is in doubt tries the new one, and then the old one.
  if (!(await settle(actor, person, next))) actor.people.splice(actor.people.indexOf(person), 1);
}

/** Password and factor once more, for the change. */
async function prove(actor: Actor, { person, jar }: Session): Promise<void> {
  const login = await startLogin(person.password, IdentityMemHardFn);
  const init = must(await post(actor, jar, 'password/proof/init', { ke1: login.ke1 }));
  const ke3 = await login.finish(String(init.ke2));
  const factor = ke3 && nextCode(person);
  if (!ke3 || !factor) throw new Interrupted('nothing to prove it with');
  const uses = [...ke2Use('proof', ke3), factor.use];
  must(await post(actor, jar, 'password/proof/finish', { ke3, code: factor.code }, { uses }));
}

/** Which of two passwords an account has. False where that could not be found out. */
async function settle(actor: Actor, person: Person, next: string): Promise<boolean> {
  for (let attempt = 0; attempt < 6; attempt++) {
    for (const password of [next, person.password]) {
      const knows = await fits(actor, { ...person, password }).catch(() => false);
      if (knows) person.password = password;
      if (knows) return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return false;
}

async function fits(actor: Actor, person: Person): Promise<boolean> {
  const jar: Jar = new Map();
  const { uid } = await beginLogin(actor, jar, intranet);
  const login = await startLogin(person.password, IdentityMemHardFn);
  const path = `/interaction/${uid}/login/init`;
  const body = { username: person.name, ke1: login.ke1 };
  const init = must(await visit(actor, jar, { op: 'login/init' }, { path, body }));
  return (await login.finish(String(init.ke2))) !== undefined;
}

export async function signOutEverywhere(actor: Actor): Promise<void> {
  const { person, jar } = actor.random.pick(alive(actor.sessions));
  const mine = allOf(actor, person);
  await Promise.all(mine.families.flatMap(({ unread }) => unread.splice(0)));
  doubt(actor, mine.all);
  const answer = await post(actor, jar, 'sessions/end-all', new URLSearchParams());
  if (answer.headers.location !== '/account/signed-out') return;
  ended(actor, mine.all, 'signed_out_everywhere', `account.signed_out account:${person.name}`);
  await tryAll(actor, mine);
}

/** By an operator's command: everything ends, and no login gets past the password until the account is enabled. */
export async function disable(actor: Actor): Promise<void> {
  const person = actor.random.pick(actor.people);
  const mine = allOf(actor, person);
  await Promise.all(mine.families.flatMap(({ unread }) => unread.splice(0)));
  doubt(actor, mine.all);
  // A command that failed may have done it all the same, and one that is lost leaves an account nobody can use.
  const forget = () => actor.people.splice(actor.people.indexOf(person), 1);
  if (!(await actor.cypher('user', 'disable', person.name))) return void forget();
  ended(actor, mine.all, 'disabled', `account.disabled account:${person.name}`);
  // Refused at the first step already, or cut short by a fault: it must be enabled in any case.
  const loggedIn = tryLogin(actor, person).catch(unlessInterrupted);
  await Promise.all([tryAll(actor, mine), loggedIn]);
  for (let attempt = 0; attempt < 3; attempt++)
    if (await actor.cypher('user', 'enable', person.name)) return began(actor, `account:${person.name}`);
  forget();
}

function unlessInterrupted(error: unknown): void {
  if (!(error instanceof Interrupted)) throw error;
}

/** The right password of an account that is disabled. */
async function tryLogin(actor: Actor, person: Person): Promise<void> {
  const jar: Jar = new Map();
  const { uid } = await beginLogin(actor, jar, intranet);
  const ke3 = await ke3Of(actor, jar, uid, person);
  await step(
    actor,
    jar,
    uid,
    'login/finish',
    { ke3 },
    { op: 'login of disabled', mustFail: true, subjects: [`account:${person.name}`] },
  );
}

async function tryAll(actor: Actor, { families, tokens, copies }: Omit<AllOf, 'all'>): Promise<void> {
  await Promise.all([
    ...families.map((family) => tryEverything(actor, family)),
    ...tokens.map((token) => tryAccessToken(actor, token)),
    ...copies.flatMap((session) =>
      [0, 1].map((via) => silently(actor, via, { ...session, jar: new Map(session.jar) }, {})),
    ),
  ]);
}
