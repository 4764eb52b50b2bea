/** A Cypher with a million accounts, sessions and refresh families beside one with a thousand. */
import { expectStatus } from '../http.ts';
import { closedLoop } from '../load.ts';
import { introspect, newVerifier, refresh, tokensOf } from '../oauth.ts';
import { paused } from '../pause.ts';
import { nameOf } from '../people.ts';
import { inTurns } from '../rounds.ts';
import { begin, sendKe1 } from '../sign_in.ts';
import { type Cypher, startCypher } from '../subjects/cypher.ts';
import { type Bench, two, type Work } from '../work.ts';

const few = 1000;
const clients = 24;

export const scale: Work = {
  name: 'scale',
  alone: true,
  async run(bench) {
    const { options, told } = bench;
    const many = options.quick ? 100_000 : 1_000_000;
    const small = await startCypher(bench.stage, bench.opaque, { people: few });
    const large = await startCypher(bench.stage, bench.opaque, { people: few });
    try {
      await fill(small, few, few, told);
      await fill(large, few, many, told);
      const subjects = [
        { ...large, name: `Cypher with ${many} accounts and sessions` },
        { ...small, name: `Cypher with ${few} accounts and sessions` },
      ];
      const accounts = new Map([many, few].map((count, index) => [subjects[index]?.name, count]));
      const { figures, ratios } = await paused([bench.cypher], () =>
        inTurns(
          subjects,
          async (subject) => {
            const operation = await createOperation(subject as Cypher, accounts.get(subject.name) ?? few);
            return () => closedLoop(clients, { seconds: options.blockSeconds }, operation);
          },
          { rounds: options.rounds, told },
        ),
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

/**
 * Adds accounts from number `from` on up to `count`, and `count` sessions, refresh families and tokens: real rows again
 * and again under other names.
 */
async function fill(cypher: Cypher, from: number, count: number, told: Bench['told']): Promise<void> {
  told(`filling in ${count} accounts, sessions and refresh families`);
  await tokensOf(cypher, 1);
  const id = (what: string, length = 43) =>
    `substr(translate(encode(sha256(('${what}' || n)::bytea), 'base64'), '+/=', '-_'), 1, ${length})`;
  const name = "'person' || lpad(n::text, 8, '0')";
  const again = (table: string, pattern: string, first: number, changes: Record<string, string>) =>
    cypher.people.query(
      `insert into ${table} select r.* from ${table} t, generate_series(${first}, ${count - 1}) n,
         jsonb_populate_record(t, jsonb_build_object(${Object.entries(changes)
           .map(([column, value]) => `'${column}', ${value}`)
           .join(', ')})) r
       where t.ctid = (select ctid from ${table} where ${pattern} limit 1)`,
    );
  const account = { account_id: id('account', 24) };
  const family = { session_uid: id('uid', 21), grant_id: id('grant') };
  const names = { username: name, username_key: name };
  await again('accounts', "username_key = 'pattern'", from, { id: id('account', 24), ...names });
  const session = { id_hash: id('session'), uid: id('uid', 21), ...account };
  await again('sessions', 'account_id is not null', 1, session);
  const token = { token_hash: id('token') };
  await again('refresh_families', 'true', 1, { id: id('family'), ...account, ...family, ...token });
  await cypher.people.query('vacuum analyze');
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
