/** Helpers for tests of the login: somebody at the sign-in page, with or without an account. */

import { generateSync } from 'otplib';
import { apps } from './apps.ts';
import type { App, Person } from './person.ts';
import { createPerson, interactionOf } from './person.ts';
import type { TestServer } from './server.ts';

export interface Visit {
  person: Person;
  uid: string;
}

/** Opens the sign-in page in this browser; returns the interaction's uid. The intranet asks for no consent. */
export async function begin(
  person: Person,
  app: App = apps.intranet,
  params: Record<string, string> = {},
): Promise<string> {
  const uid = interactionOf(await person.authorize(app, params));
  if (!uid) throw new Error('no page was shown');
  return uid;
}

/** Somebody at the sign-in page, in a browser of their own. With `owner`: who has that person's password and factors. */
export async function visit(server: TestServer, name: string, owner?: Person): Promise<Visit> {
  const person = createPerson(server, name, owner?.password);
  if (owner) Object.assign(person, { totpSecret: owner.totpSecret, recoveryCodes: owner.recoveryCodes });
  return { person, uid: await begin(person) };
}

/** A person with an account and both factors; the interaction is complete, the browser has not gone on. */
export async function signUp(server: TestServer, name: string, password?: string): Promise<Person> {
  const person = createPerson(server, name, password);
  await person.signUp(await begin(person));
  return person;
}

/** Somebody who has just proved the password of `owner` in a browser of their own. */
export async function afterPassword(server: TestServer, owner: Person): Promise<Visit> {
  const visited = await visit(server, owner.username, owner);
  const { status, text } = await visited.person.provePassword(visited.uid);
  if (status !== 200) throw new Error(`the password was refused: ${text}`);
  return visited;
}

/** The code of the time step `steps` from now, used or not. */
export const codeAt = (server: TestServer, { totpSecret: secret }: Person, steps = 0): string =>
  generateSync({ secret, epoch: Math.floor(server.clock.now() / 1000) + steps * 30 });

/** Signs out of everything in this browser, on the page that asks. */
export async function signOut(person: Person): Promise<void> {
  const page = await person.agent.get('/session/end');
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const answer = await person.agent.post('/session/end/confirm').type('form').send({ xsrf, logout: 'yes' });
  if (answer.status !== 303) throw new Error(`the sign-out answered ${answer.status}`);
}
