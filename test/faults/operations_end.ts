/** Operations that end things: revocation and sign-out. Also later attempts to use what was ended. */
import { revoke, tryAccessToken } from './apps.ts';
import { visit } from './browser.ts';
import { silently } from './operations_arrive.ts';
import { tryEverything } from './operations_refresh.ts';
import { type Actor, alive, doubt, ended, persist, type Session } from './world.ts';

/** Either token of a family ends the whole of it (RFC 7009, section 2.1, leaves that choice for access tokens). */
export async function revokeFamily(actor: Actor): Promise<void> {
  const family = actor.random.pick(alive(actor.families));
  await Promise.all(family.unread.splice(0));
  doubt(actor, [family]);
  const token = actor.random.pick([family.refreshToken, family.accessToken]);
  if ((await revoke(actor, family.app, token))?.status !== 200) return;
  ended(actor, [family], 'revoked');
  await tryEverything(actor, family);
}

/** RP-initiated logout, confirmed on its page. */
export async function signOut(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  const families = alive(actor.families).filter((family) => family.session === session && !family.offline);
  const tokens = alive(actor.accessTokens).filter((token) => token.session === session);
  const all = [session, ...families, ...tokens];
  await Promise.all(families.flatMap(({ unread }) => unread.splice(0)));
  // A thief's copy of the cookies must be worth as little as the browser's own.
  const copy: Session = { ...session, jar: new Map(session.jar) };
  doubt(actor, all);
  const signedOut = await persist(actor, { op: 'logout', subjects: [session.subject] }, async (via) => {
    const page = await visit(actor, session.jar, { op: 'logout page' }, { path: '/session/end' }, via);
    // An earlier try has signed out and its answer was lost: nobody is signed in here who could be asked.
    if (page.status === 303) return page;
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
    if (!xsrf) return { status: 0 };
    const body = new URLSearchParams({ xsrf, logout: 'yes' });
    return visit(actor, session.jar, { op: 'logout' }, { path: '/session/end/confirm', body }, via);
  });
  if (signedOut?.status !== 303) return;
  ended(actor, all, 'signed_out');
  await Promise.all([
    ...families.map((family) => tryEverything(actor, family)),
    ...tokens.map((token) => tryAccessToken(actor, token)),
    ...[0, 1].map((via) => silently(actor, via, { ...copy, jar: new Map(copy.jar) }, {})),
  ]);
  session.jar = copy.jar;
}

/** Something that was ended before, possibly before the last faults. */
export async function tryEnded(actor: Actor): Promise<void> {
  const families = actor.families.filter(({ state }) => state === 'ended');
  const sessions = actor.sessions.filter(({ state }) => state === 'ended');
  const tokens = actor.accessTokens.filter(({ state }) => state === 'ended');
  if (families.length > 0) await tryEverything(actor, actor.random.pick(families));
  if (tokens.length > 0) await tryAccessToken(actor, actor.random.pick(tokens));
  if (sessions.length > 0) {
    const session = actor.random.pick(sessions);
    await silently(actor, actor.random.int(0, 1), { ...session, jar: new Map(session.jar) }, {});
  }
}
