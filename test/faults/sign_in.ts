/** How people get accounts and sessions: sign-up and login with OPAQUE (without its stretching) and TOTP. */
import { IdentityMemHardFn } from '@cloudflare/opaque-ts';
import { generateSync } from 'otplib';
import { startLogin, startRegistration } from '../../src/browser/opaque_client.ts';
import { authorize, interactionOf, must, step } from './browser.ts';
import { fingerprint } from './caller.ts';
import { type Actor, type App, Interrupted, type Jar, type Person } from './world.ts';

const stepSeconds = 30;

/** Sends a new browser to sign in; returns the interaction that it was given. */
export async function beginLogin(actor: Actor, jar: Jar, app: App, params: Record<string, string> = {}) {
  const asked = await authorize(actor, jar, app, params);
  const uid = asked.location && interactionOf(asked.location);
  if (!asked.location || !uid) throw new Interrupted('no login page');
  return { uid, codeVerifier: asked.codeVerifier };
}

/** Makes an account up to its confirmed authenticator; returns where the browser goes on. */
export async function register(actor: Actor, jar: Jar, uid: string, person: Person): Promise<URL> {
  const registration = await startRegistration(person.password, IdentityMemHardFn);
  const named = { username: person.name, request: registration.request };
  const init = must(await step(actor, jar, uid, 'register/init', named));
  const record = await registration.finish(String(init.response));
  const creates = `account:${person.name}`;
  must(
    await step(
      ...([actor, jar, uid, 'register/finish'] as const),
      { username: person.name, record },
      { creates },
    ),
  );
  person.totpSecret = String(must(await step(actor, jar, uid, 'totp/setup', {})).secret);
  // The step before the present one: the present one and the next are left for two logins.
  const at = currentStep() - 1;
  const about = { creates: `authenticator:${person.name}`, uses: [`totp:${person.name}:${at}`] };
  const confirmed = must(
    await step(actor, jar, uid, 'totp/verify-setup', { code: codeOf(person, at) }, about),
  );
  person.lastStep = at;
  person.recoveryCodes = confirmed.recovery_codes as string[];
  return new URL(String(confirmed.location));
}

/** Starts a login; returns KE3. */
export async function ke3Of(actor: Actor, jar: Jar, uid: string, person: Person): Promise<string> {
  const login = await startLogin(person.password, IdentityMemHardFn);
  const init = must(await step(actor, jar, uid, 'login/init', { username: person.name, ke1: login.ke1 }));
  const ke3 = await login.finish(String(init.ke2));
  if (ke3 === undefined) throw new Interrupted('KE2 does not fit: another login began in between');
  return ke3;
}

/** What `login/finish` uses up. */
export const ke2Use = (uid: string, ke3: string): string[] => [`ke2:${uid}:${fingerprint(ke3)}`];

/** A code that has not been entered before, and what it uses up; undefined where there is none now. */
export function nextCode(person: Person): { code: string; use: string } | undefined {
  const now = currentStep();
  const at = Math.max(now, person.lastStep + 1);
  if (at <= now + 1 && !nearEdge()) {
    person.lastStep = at;
    return { code: codeOf(person, at), use: `totp:${person.name}:${at}` };
  }
  return nextRecoveryCode(person);
}

export function nextRecoveryCode(person: Person): { code: string; use: string } | undefined {
  const code = person.recoveryCodes.pop();
  return code === undefined ? undefined : { code, use: `recovery:${person.name}:${fingerprint(code)}` };
}

/** What a code and the login-step token of this browser are used up by together. */
export function factorUse(jar: Jar, use: string): string[] {
  const token = jar.get('cypher_step')?.value;
  return token ? [use, `step:${fingerprint(token)}`] : [use];
}

const currentStep = (): number => Math.floor(Date.now() / 1000 / stepSeconds);

/** So near to the end of a step that another one may have begun when the code arrives. */
const nearEdge = (): boolean => (Date.now() / 1000) % stepSeconds > stepSeconds - 4;

const codeOf = (person: Person, at: number): string =>
  generateSync({ secret: person.totpSecret, epoch: at * stepSeconds });
