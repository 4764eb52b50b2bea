/** Operations by which people get in: sign-up, login, and another app with the session that they have. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  basic,
  familyOf,
  familySubject,
  intranet,
  introspectHonestly,
  poll,
  redeem,
  reports,
  reportsApi,
  tokenSubject,
  tv,
  web,
} from './apps.ts';
import { authorize, follow, interactionOf, must, step, visit } from './browser.ts';
import { beginLogin, factorUse, ke2Use, ke3Of, nextCode, register } from './sign_in.ts';
import {
  type AccessToken,
  type Actor,
  type App,
  alive,
  began,
  eitherProvider,
  Interrupted,
  type Jar,
  type Person,
  persist,
  type Session,
} from './world.ts';

export async function signUp(actor: Actor): Promise<void> {
  const name = `p${actor.number}-${actor.people.length}-${actor.random.int(0, 1e6)}`;
  const person: Person = {
    name,
    password: `the long password of ${name}`,
    totpSecret: '',
    lastStep: 0,
    recoveryCodes: [],
  };
  const jar: Jar = new Map();
  const { uid, codeVerifier } = await beginLogin(actor, jar, intranet);
  const after = await register(actor, jar, uid, person);
  actor.people.push(person);
  await arrive(actor, person, jar, after, codeVerifier);
}

export async function signIn(actor: Actor): Promise<void> {
  const person = actor.random.pick(actor.people);
  const jar: Jar = new Map();
  const { uid, codeVerifier } = await beginLogin(actor, jar, intranet);
  const ke3 = await ke3Of(actor, jar, uid, person);
  must(await step(actor, jar, uid, 'login/finish', { ke3 }, { uses: ke2Use(uid, ke3) }));
  const next = nextCode(person);
  if (!next) return;
  const uses = factorUse(jar, next.use);
  const verified = must(await step(actor, jar, uid, 'totp/verify', { code: next.code }, { uses }));
  await arrive(actor, person, jar, new URL(String(verified.location)), codeVerifier);
}

/** From a completed login to a session and the first app's tokens. */
export async function arrive(actor: Actor, person: Person, jar: Jar, from: URL, codeVerifier: string) {
  const code = await follow(actor, jar, from);
  const subject = `session:${actor.number}-${actor.sessions.length}`;
  const session: Session = { subject, person, jar, state: 'alive' };
  actor.sessions.push(session);
  began(actor, subject);
  await take(actor, session, intranet, code, codeVerifier);
}

/** Another family by single sign-on: the session alone must do, and no login page may come. */
export async function anotherApp(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  if (actor.random.chance(0.25)) return offlineApp(actor, session);
  const answered = await persist(
    actor,
    { op: 'silent login', subjects: [session.subject] },
    async (via, since) => {
      const asked = await silently(actor, via, session, { honestSince: since });
      return { ...asked, status: asked.answer.status };
    },
  );
  const code = answered?.location?.searchParams.get('code');
  if (!answered?.location || !code) throw new Interrupted('no silent login');
  await take(actor, session, intranet, code, answered.codeVerifier);
}

/** Asks for a code without any page (`prompt=none`). */
export function silently(
  actor: Actor,
  via: number,
  session: Session,
  about: object,
  { app, params }: { app: App; params: Record<string, string> } = { app: intranet, params: {} },
) {
  return authorize(
    actor,
    session.jar,
    app,
    { prompt: 'none', ...params },
    {
      op: 'silent login',
      subjects: [session.subject],
      success: ({ headers }) => /[?&]code=/.test(headers.location ?? ''),
      ...about,
    },
    via,
  );
}

/** Two tabs of a page ask at once for access tokens, and get no more: each must be good, and end with the session they share. */
export async function openTwoTabs(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  const opened = await Promise.all([0, 1].map((via) => tokenForReports(actor, via, session)));
  const tokens = opened.filter((token) => token !== undefined);
  actor.accessTokens.push(...tokens);
  await Promise.all(tokens.map((token) => introspectHonestly(actor, token)));
}

async function tokenForReports(
  actor: Actor,
  via: number,
  session: Session,
): Promise<AccessToken | undefined> {
  const params = { scope: `openid ${reportsApi.scopes.join(' ')}`, resource: reportsApi.audience };
  const asked = await silently(actor, via, session, {}, { app: reports, params });
  const code = asked.location?.searchParams.get('code');
  if (!asked.location || !code) return undefined;
  const { json } = await redeem(actor, via, reports, { code, codeVerifier: asked.codeVerifier });
  if (typeof json.access_token !== 'string') return undefined;
  const subject = tokenSubject(json.access_token);
  began(actor, subject);
  return {
    subject,
    session,
    accessToken: json.access_token,
    state: 'alive',
  };
}

async function offlineApp(actor: Actor, session: Session): Promise<void> {
  const asked = await authorize(actor, session.jar, web, {
    scope: 'openid offline_access',
    prompt: 'consent',
  });
  if (!asked.location || !interactionOf(asked.location)) throw new Interrupted('no consent page');
  await take(actor, session, web, await follow(actor, session.jar, asked.location), asked.codeVerifier);
}

/**
 * A device is connected by the session of a browser, and asks for its tokens until it is answered; half of the devices lose
 * the first answer. They need not wait five seconds between polls: that is for codes to which nobody has said yes.
 */
export async function connectDevice(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  const asked = must(
    await actor.call(
      eitherProvider(actor),
      { op: 'device/auth' },
      { path: '/device/auth', headers: basic(tv), body: new URLSearchParams({ scope: 'openid' }) },
    ),
  );
  const deviceCode = String(asked.device_code);
  began(actor, familySubject(deviceCode));
  await confirmDevice(actor, session, String(asked.user_code));
  began(actor, familySubject(deviceCode));
  const unread: Promise<unknown>[] = [];
  if (actor.random.chance(0.5)) {
    unread.push(poll(actor, eitherProvider(actor), deviceCode));
    await sleep(actor.random.int(0, 40));
  }
  const subjects = [familySubject(deviceCode)];
  const answer = await persist(actor, { op: 'poll', subjects }, (via, honestSince) =>
    poll(actor, via, deviceCode, { honestSince }),
  );
  if (answer) actor.families.push({ ...familyOf(session, tv, deviceCode, answer), unread });
}

/** Enters the code and says that the device is theirs, which is all that a browser with a session is asked for this app. */
async function confirmDevice(actor: Actor, { jar }: Session, userCode: string): Promise<void> {
  const page = await visit(actor, jar, { op: 'device' }, { path: '/device' });
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const body = new URLSearchParams({ xsrf, user_code: userCode, confirm: 'yes' });
  const { text } = await visit(actor, jar, { op: 'device' }, { path: '/device', body });
  if (!text.includes('is connected')) throw new Interrupted('the code was not taken');
}

async function take(actor: Actor, session: Session, app: App, code: string, codeVerifier: string) {
  // A lost answer is not asked for again: a code that is presented twice is an attack. The app starts anew.
  const answer = await redeem(actor, eitherProvider(actor), app, { code, codeVerifier });
  actor.families.push(familyOf(session, app, code, answer));
}
