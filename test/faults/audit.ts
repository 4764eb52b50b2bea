/**
 * Runs after the last fault, when everything is up again: every account logs in, every live session and family is
 * used, and everything that was ended is tried again at both processes. It only adds to the history; the checker
 * judges the results.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { intranet, keepTokens, refreshHonestly, tryAccessToken } from './apps.ts';
import { step } from './browser.ts';
import { silently } from './operations_arrive.ts';
import { tryEverything, useAccessToken } from './operations_refresh.ts';
import { beginLogin, ke2Use, ke3Of } from './sign_in.ts';
import { type Actor, Interrupted, type Jar, type Person } from './world.ts';

export async function audit(actors: readonly Actor[]): Promise<void> {
  await Promise.all(actors.map(auditOf));
}

async function auditOf(actor: Actor): Promise<void> {
  for (const person of actor.people) await provePassword(actor, person);
  for (const session of actor.sessions) {
    const honest = session.state === 'alive' ? { honestSince: actor.now() } : {};
    if (session.state !== 'doubt') await silently(actor, actor.number % 2, session, honest);
  }
  for (const token of actor.accessTokens) if (token.state === 'ended') await tryAccessToken(actor, token);
  for (const family of actor.families) {
    if (family.state === 'ended') await tryEverything(actor, family);
    if (family.state !== 'alive') continue;
    keepTokens(family, await refreshHonestly(actor, family, family.refreshToken));
    await useAccessToken(actor, family);
  }
}

/** An acknowledged account still knows its password. What a busy machine cuts short is begun anew. */
async function provePassword(actor: Actor, person: Person): Promise<void> {
  const since = actor.now();
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      return await provePasswordOnce(actor, person);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      await sleep(500);
    }
  }
  const subjects = [`account:${person.name}`];
  actor.history.add({ type: 'gave_up', at: actor.now(), op: 'login', since, subjects });
}

async function provePasswordOnce(actor: Actor, person: Person): Promise<void> {
  const jar: Jar = new Map();
  const { uid } = await beginLogin(actor, jar, intranet);
  const ke3 = await ke3Of(actor, jar, uid, person);
  await step(...([actor, jar, uid, 'login/finish', { ke3 }] as const), {
    uses: ke2Use(uid, ke3),
    honestSince: actor.now(),
    subjects: [`account:${person.name}`],
  });
}
