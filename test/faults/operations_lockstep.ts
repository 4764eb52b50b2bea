/**
 * A thief who has copied an app's refresh token and goes on beside the app: each repeats the token that the other has used
 * last. If repetitions were answered at any time, nobody would ever notice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { refresh } from './apps.ts';
import { tryEverything } from './operations_refresh.ts';
import { type Actor, alive, doubt, ended, type Family, persist } from './world.ts';

/** REFRESH_LEEWAY_SECONDS of the providers, which have its default. */
export const leewayMs = 10_000;
/** What may pass between the use of a token and its answer, and between two machines' seconds. */
const marginMs = 1000;

/** Begins it, and goes on while the actor does other things. */
export async function followInLockstep(actor: Actor): Promise<void> {
  const family = actor.random.pick(alive(actor.families));
  await Promise.all(family.unread.splice(0));
  doubt(actor, [family]);
  actor.meanwhile.push(follow(actor, family));
}

async function follow(actor: Actor, family: Family): Promise<void> {
  let token = family.refreshToken;
  for (;;) {
    const [first, mine] = [actor.now(), token];
    const about = { op: 'lockstep', subjects: [family.subject] };
    const used = await persist(actor, about, (via) => refresh(actor, via, family, mine));
    if (typeof used?.json.refresh_token !== 'string') return;
    const repeats = { from: first, until: actor.now() };
    while (actor.now() < repeats.until + leewayMs + marginMs) {
      if (actor.isOver()) return;
      await sleep(100);
    }
    const repeated = await persist(actor, about, (via) =>
      refresh(actor, via, family, mine, { op: 'lockstep', repeats }),
    );
    if (repeated?.status === 400) return found(actor, family);
    if (typeof repeated?.json.refresh_token !== 'string') return;
    token = repeated.json.refresh_token;
  }
}

async function found(actor: Actor, family: Family): Promise<void> {
  // A person who has signed out meanwhile, or changed the password, has ended it too. Then nobody was found.
  const told = family.session.state === 'alive' ? `refresh.reused ${family.subject}` : undefined;
  ended(actor, [family], 'reuse', told);
  await tryEverything(actor, family);
}
