/** Operations on refresh families: by honest clients in every unusual way, and by thieves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { introspect, keepTokens, refresh, refreshHonestly, tokenSubject } from './apps.ts';
import { type Actor, alive, doubt, eitherProvider, ended, type Family, persist } from './world.ts';

/** A family to go on with; what is still on its way is waited for, lest a late duplicate look like a thief. */
async function chosen(actor: Actor): Promise<Family> {
  const family = actor.random.pick(alive(actor.families));
  await Promise.all(family.unread.splice(0));
  return family;
}

export async function rotate(actor: Actor): Promise<void> {
  const family = await chosen(actor);
  for (let times = actor.random.int(1, 4); times > 0; times--) {
    if (!keepTokens(family, await refreshHonestly(actor, family, family.refreshToken))) return;
  }
  await useAccessToken(actor, family);
}

/** Two to five tabs refresh at once with the same token. */
export async function rotateInTabs(actor: Actor): Promise<void> {
  const family = await chosen(actor);
  const token = family.refreshToken;
  const answers = await Promise.all(
    Array.from({ length: actor.random.int(2, 5) }, () => refreshHonestly(actor, family, token)),
  );
  for (const answer of answers) keepTokens(family, answer);
  await useAccessToken(actor, family);
}

/** The answer is lost on its way: the app repeats the request while the first may still be at work. */
export async function loseAnswer(actor: Actor): Promise<void> {
  const family = await chosen(actor);
  const token = family.refreshToken;
  const lost = refresh(actor, eitherProvider(actor), family, token, { honestSince: actor.now() });
  family.unread.push(lost);
  await sleep(actor.random.int(0, 40));
  keepTokens(family, await refreshHonestly(actor, family, token));
}

/** An access token of a living family is good on every instance. */
export async function useAccessToken(actor: Actor, family: Family): Promise<void> {
  const { accessToken, subject, app: by } = family;
  const subjects = [subject, tokenSubject(accessToken)];
  await persist(actor, { op: 'introspect', subjects }, (via, honestSince) =>
    introspect(actor, via, { by, accessToken }, { subjects, honestSince }),
  );
}

/** Somebody presents a token whose successor has been used. */
export async function stealOldToken(actor: Actor): Promise<void> {
  const family = await chosen(actor);
  const old = family.rotated.slice(0, -1);
  if (old.length === 0) return rotate(actor);
  await presentStolen(actor, family, actor.random.pick(old));
}

/** Somebody copies the current token and goes on with it; the app then presents what it still has. */
export async function stealCurrentToken(actor: Actor): Promise<void> {
  const family = await chosen(actor);
  const kept = family.refreshToken;
  doubt(actor, [family]);
  for (let times = 0; times < 2; times++) {
    if (!keepTokens(family, await refreshHonestly(actor, family, family.refreshToken))) return;
  }
  await presentStolen(actor, family, kept);
}

async function presentStolen(actor: Actor, family: Family, token: string): Promise<void> {
  doubt(actor, [family]);
  const refused = await persist(actor, { op: 'reuse', subjects: [family.subject] }, (via) =>
    refresh(actor, via, family, token, { op: 'reuse', mustFail: true }),
  );
  if (refused?.status !== 400) return;
  ended(actor, [family], 'reuse', `refresh.reused ${family.subject}`);
  await tryEverything(actor, family);
  await sleep(1000);
  await tryEverything(actor, family);
}

/** Whatever is left of a family, through both processes. */
export async function tryEverything(actor: Actor, family: Family): Promise<void> {
  const { accessToken, subject, refreshToken, app: by } = family;
  const subjects = [subject, tokenSubject(accessToken)];
  await Promise.all(
    [0, 1].flatMap((via) => [
      introspect(actor, via, { by, accessToken }, { subjects }),
      refresh(actor, via, family, refreshToken, { op: 'refresh of ended', subjects: [subject] }),
    ]),
  );
}
