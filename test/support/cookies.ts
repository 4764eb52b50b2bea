/**
 * The cookies of a test's browser, for requests that a test makes itself: with another browser's cookies, with none,
 * or with forged ones.
 */
import type { Person } from './person.ts';

type Access = Parameters<Person['agent']['jar']['getCookies']>[0];

/** Every cookie that the browser would send to `path`, by name; those marked Secure too. */
export function cookiesOf(person: Person, path: string): Record<string, string> {
  const access = { domain: 'localhost', path, secure: true, script: false } as Access;
  const list = person.agent.jar.getCookies(access);
  return Object.fromEntries([...list].map(({ name, value }) => [name, value]));
}

/** A Cookie header of `cookies`. */
export const cookieHeader = (cookies: Record<string, string>): string =>
  Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join('; ');

/** Lets the browser send its Secure cookies over the http of this machine, as through a proxy that ends TLS. */
export function behindTls(person: Person): Person {
  const { jar } = person.agent;
  const getCookies = jar.getCookies.bind(jar);
  jar.getCookies = (access) => getCookies({ ...access, secure: true } as Access);
  return person;
}
