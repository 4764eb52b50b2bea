/** Operations that use one thing several times concurrently: a code, KE3, a step token, a TOTP or recovery code. */
import { setTimeout as sleep } from 'node:timers/promises';
import { familyOf, intranet, introspect, keepTokens, redeem, refreshHonestly, tokenSubject } from './apps.ts';
import { must, step } from './browser.ts';
import type { Answer } from './caller.ts';
import { silently } from './operations_arrive.ts';
import { tryEverything } from './operations_refresh.ts';
import { beginLogin, factorUse, ke2Use, ke3Of, nextCode, nextRecoveryCode } from './sign_in.ts';
import { type Actor, alive, doubt, eitherProvider, ended, Interrupted, type Jar, persist } from './world.ts';

const manyTimes = <T>(actor: Actor, one: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: actor.random.int(2, 5) }, (_, index) => one(index)));

/** A code is redeemed by several at once; sometimes once more afterwards, which must end what it gave. */
export async function replayCode(actor: Actor): Promise<void> {
  const session = actor.random.pick(alive(actor.sessions));
  const asked = await silently(actor, eitherProvider(actor), session, {});
  const code = asked.location?.searchParams.get('code');
  if (!asked.location || !code) throw new Interrupted('no silent login');
  const grant = { code, codeVerifier: asked.codeVerifier };
  const answers = await manyTimes(actor, (index) => redeem(actor, index % 2, intranet, grant));
  const won = answers.find(({ json }) => typeof json.refresh_token === 'string');
  if (!won) return;
  const family = familyOf(session, intranet, code, won);
  doubt(actor, [family]);
  actor.families.push(family);
  if (actor.random.chance(0.5)) return consistent(actor, family);
  // Half a second is one click for the product.
  await sleep(1000);
  const refused = await persist(actor, { op: 'code reuse', subjects: [family.subject] }, (via) =>
    redeem(actor, via, intranet, grant, { op: 'code reuse', mustFail: true }),
  );
  if (refused?.status !== 400) return;
  ended(actor, [family], 'reuse');
  await tryEverything(actor, family);
}

/** Whether parallel redemptions ended the family or not: a family that mints must mint tokens that are good. */
async function consistent(actor: Actor, family: ReturnType<typeof familyOf>): Promise<void> {
  const answer = await refreshHonestly(actor, family, family.refreshToken);
  if (!keepTokens(family, answer)) return;
  const subjects = [tokenSubject(family.accessToken)];
  await persist(actor, { op: 'introspect', subjects }, (via, honestSince) =>
    introspect(actor, via, { by: family.app, accessToken: family.accessToken }, { subjects, honestSince }),
  );
}

/** A whole login in which every proof is handed in several times at once. */
export async function replayLogin(actor: Actor): Promise<void> {
  const person = actor.random.pick(actor.people);
  const jar: Jar = new Map();
  const { uid } = await beginLogin(actor, jar, intranet);
  const ke3 = await ke3Of(actor, jar, uid, person);
  const uses = ke2Use(uid, ke3);
  const jars = await manyTimes(actor, async () => {
    const mine: Jar = new Map(jar);
    const answer = await step(actor, mine, uid, 'login/finish', { ke3 }, { uses });
    return answer.status === 200 ? mine : undefined;
  });
  const proved = jars.find((each) => each !== undefined);
  if (!proved) throw new Interrupted('the password was not taken');
  const codes = [nextCode(person), nextRecoveryCode(person)].filter((each) => each !== undefined);
  if (codes.length === 0) return;
  // One code for all of them, or a different one each: the login-step token works once in any case.
  await manyTimes(actor, (index) => {
    const { code, use } = codes[actor.random.chance(0.5) ? 0 : index % codes.length] as (typeof codes)[0];
    return step(
      ...([actor, new Map(proved), uid, 'totp/verify'] as const),
      { code },
      { uses: factorUse(proved, use) },
    );
  });
}

/** One code of the authenticator, or one recovery code, in several logins of the same person at once. */
export async function replayFactor(actor: Actor): Promise<void> {
  const person = actor.random.pick(actor.people);
  const logins = [];
  for (let count = actor.random.int(2, 4); count > 0; count--) {
    const jar: Jar = new Map();
    const { uid } = await beginLogin(actor, jar, intranet);
    const ke3 = await ke3Of(actor, jar, uid, person);
    must(await step(actor, jar, uid, 'login/finish', { ke3 }, { uses: ke2Use(uid, ke3) }));
    logins.push({ jar, uid });
  }
  const next = actor.random.chance(0.5) ? nextCode(person) : nextRecoveryCode(person);
  if (!next) return;
  await Promise.all(
    logins.map(
      ({ jar, uid }): Promise<Answer> =>
        step(actor, jar, uid, 'totp/verify', { code: next.code }, { uses: factorUse(jar, next.use) }),
    ),
  );
}
