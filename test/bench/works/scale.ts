/** A Cypher with a million accounts, sessions and refresh families beside one with a thousand. */
import { expectStatus } from '../http.ts';
import { closedLoop } from '../load.ts';
import { introspect, newVerifier, refresh, tokensOf } from '../oauth.ts';
import { nameOf } from '../people.ts';
import { inTurns } from '../rounds.ts';
import { begin, sendKe1 } from '../sign_in.ts';
import { type Cypher, startCypher } from '../subjects/cypher.ts';
import { type Bench, two, type Work } from '../work.ts';

const few = 1000;
const clients = 24;

export const scale: Work = {
  name: 'scale',
  async run(bench) {
    const { options, told } = bench;
    const many = options.quick ? 100_000 : 1_000_000;
    const small = await startCypher(bench.stage, bench.opaque, { people: few });
    const large = await startCypher(bench.stage, bench.opaque, { people: few });
    try {
      await fill(small, 0, few, told);
      await fill(large, few, many, told);
      const subjects = [
        { ...large, name: `Cypher with ${many} accounts and sessions` },
        { ...small, name: `Cypher with ${few} accounts and sessions` },
      ];
      const accounts = new Map([many, few].map((count, index) => [subjects[index]?.name, count]));
      const { figures, ratios } = await inTurns(
        subjects,
        async (subject) => {
          const operation = await createOperation(subject as Cypher, accounts.get(subject.name) ?? few);
          return () => closedLoop(clients, { seconds: options.blockSeconds }, operation);
        },
        { rounds: options.rounds, told },
      );
      const [ratio] = ratios;
      const p99 = (figures[0]?.p99Ms ?? Number.NaN) / (figures[1]?.p99Ms ?? Number.NaN);
      return {
        title: `${many} accounts, sessions and refresh families beside ${few}`,
        figures,
        ratios,
        goals: [
          {
            goal: 'throughput at least 0.95 ×',
            figure: `${two(ratio?.byClock ?? Number.NaN)} × by the clock, ${two(ratio?.median ?? Number.NaN)} × a core second`,
            met: (ratio?.byClock ?? 0) >= 0.95,
          },
          { goal: 'p99 at most 1.2 ×', figure: `${two(p99)} ×`, met: p99 <= 1.2 },
        ],
        notes: [
          'a third each: login/init of anybody, refresh, introspection',
          ...(options.quick ? [`--quick: ${many} instead of 1000000`] : []),
        ],
      };
    } finally {
      await Promise.all([small.stop(), large.stop()]);
    }
  },
};

/** Adds accounts from number `from` on up to `count`, and `count` sessions and refresh families, by SQL. */
async function fill({ people }: Cypher, from: number, count: number, told: Bench['told']): Promise<void> {
  told(`filling in ${count} accounts and sessions`);
  const id = (what: string) => `translate(encode(sha256(('${what}' || n)::bytea), 'base64'), '+/=', '-_')`;
  const numbers = `generate_series(${from}, ${count - 1}) n`;
  await people.query(
    `insert into accounts (id, username, username_key, credential_id, opaque_record, opaque_suite, opaque_stretching,
       created_at)
     select substr(${id('account')}, 1, 24), 'person' || lpad(n::text, 8, '0'), 'person' || lpad(n::text, 8, '0'),
       a.credential_id, a.opaque_record, a.opaque_suite, a.opaque_stretching, now()
     from accounts a, ${numbers} where a.username_key = 'pattern'`,
  );
  await people.query(
    `insert into sessions (id_hash, uid, account_id, payload, created_at, expires_at)
     select ${id('session')}, substr(${id('uid')}, 1, 21), substr(${id('account')}, 1, 24),
       (select payload from sessions limit 1), now(), now() + interval '1 hour'
     from generate_series(1, ${count}) n`,
  );
  await people.query(
    `insert into refresh_families (id, grant_id, client_id, account_id, session_uid, offline, created_at, expires_at)
     select ${id('family')}, ${id('grant')}, 'app', substr(${id('account')}, 1, 24), substr(${id('uid')}, 1, 21), false,
       now(), now() + interval '30 days'
     from generate_series(1, ${count}) n`,
  );
  await people.query(
    `insert into refresh_tokens (token_hash, family_id, payload, created_at, expires_at)
     select ${id('token')}, ${id('family')}, '{"clientId": "app", "scope": "openid"}', now(), now() + interval '7 days'
     from generate_series(1, ${count}) n`,
  );
  await people.query('vacuum analyze');
  await people.query('checkpoint').catch(() => {});
}

/** A third each: somebody's login/init, one's own refresh, an introspection. */
async function createOperation(cypher: Cypher, accounts: number) {
  const tokens = await tokensOf(cypher, clients);
  const jars = await Promise.all(tokens.map(async () => ({ jar: new Map<string, string>(), at: '' })));
  for (const browser of jars) browser.at = await begin(cypher, browser.jar, newVerifier());
  const turns = new Array<number>(clients).fill(0);
  return async (worker: number): Promise<void> => {
    const turn = turns[worker] ?? 0;
    turns[worker] = turn + 1;
    const own = tokens[worker];
    const browser = jars[worker];
    if (!own || !browser) throw new Error('no such client');
    if (turn % 3 === 0) {
      const name = nameOf(Math.floor(Math.random() * accounts));
      const { ke1 } = cypher.opaque.ke1();
      expectStatus(await sendKe1(cypher, browser.jar, browser.at, name, ke1), 200);
    } else if (turn % 3 === 1) {
      tokens[worker] = await refresh(cypher, own.refresh_token);
    } else {
      await introspect(cypher, own.access_token);
    }
  };
}
