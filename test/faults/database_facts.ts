/** What the database holds at the end of a run, under the history's names. */
import type { Storage } from './storage.ts';

export interface AccountFact {
  confirmed: boolean;
  lastStep: number;
  recoveryCodesUsed: number;
}

export interface FamilyFact {
  /** How many tokens it has had. */
  tokens: number;
}

export interface DatabaseFacts {
  /** By user name. */
  accounts: Map<string, AccountFact>;
  /** By id. */
  families: Map<string, FamilyFact>;
  /** User names of accounts whose one beginning the audit log has more than once. */
  auditedTwice: string[];
  /** How often the audit log has it, by `event account:NAME` and `event family:ID`. */
  told: Map<string, number>;
}

export async function readFacts({ query }: Pick<Storage, 'query'>): Promise<DatabaseFacts> {
  const accounts = await query<{ name: string } & AccountFact>(
    `select username as name, totp_secret is not null as confirmed, coalesce(totp_last_step, 0) as "lastStep",
       coalesce((select 10 - cardinality(code_hashes) from unused_recovery_codes where account_id = accounts.id), 0)
         as "recoveryCodesUsed"
     from accounts`,
  );
  const families = await query<{ id: string } & FamilyFact>(
    'select id, generation + 1 as tokens from refresh_families where generation is not null',
  );
  const auditedTwice = await query<{ name: string }>(
    `select username as name from audit_log join accounts on accounts.id = account_id
     where event = 'account.created' group by username having count(*) > 1`,
  );
  const told = await query<{ what: string; times: number }>(
    `select event || ' ' || coalesce('family:' || (detail->>'family'), 'account:' || username) as what, count(*)::int as times
     from audit_log join accounts on accounts.id = account_id group by what`,
  );
  return {
    told: new Map(told.map(({ what, times }) => [what, times])),
    auditedTwice: auditedTwice.map(({ name }) => name),
    accounts: new Map(accounts.map(({ name, ...fact }) => [name, fact])),
    families: new Map(families.map(({ id, ...fact }) => [id, fact])),
  };
}
