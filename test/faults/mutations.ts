/**
 * Broken builds: each removes a protection from the product by edits of its source. The checker must find every one
 * of them, otherwise it proves nothing when it finds no fault in the real build. The edits are applied while a
 * provider loads its files.
 */

interface Edit {
  /** Under src/. */
  file: string;
  find: string;
  replace: string;
}

const conditionalUpdate: Edit = {
  file: 'refresh/store.ts',
  find: 'where id = $1 and (token_hash = $2 and token_expires_at > $4 or generation < $7)',
  replace: 'where id = $1 and ($2::text is not null)',
};

export const mutations: Record<string, Edit[]> = {
  /** Rotation marks the token used whether or not it was; only the derived successor still stands in the way. */
  conditional_update: [conditionalUpdate],
  /** The same, and each process derives successors of its own: what a rotation without any guard would be. */
  rotation: [
    conditionalUpdate,
    {
      file: 'refresh/store.ts',
      find: 'keyedHash(successorKey, tokenId)',
      replace: 'keyedHash(successorKey, tokenId, String(process.pid))',
    },
  ],
  reuse_unpunished: [
    {
      file: 'wiring/provider.ts',
      find: "await revocations.endFamily(familyId, 'reuse', query);",
      replace: '',
    },
  ],
  /** What ends access is told of like everything else: gathered for a moment, which a process that is killed then takes along. */
  audit: [
    {
      file: 'audit/audit.ts',
      find: '      const detail = withActor(given);\n      await within(',
      replace: `      const detail = withActor(given);
      waiting.push({ event, accountId, clientId, address, ...(detail && { detail }), at: new Date(now()).toISOString() });
      return schedule(gatherMs);
      await within(`,
    },
  ],
  /** A repetition after an outage is a theft, as any that comes later than the leeway. */
  outage: [
    {
      file: 'refresh/states.ts',
      find: 'now < (facts.repeatableUntil ?? Number.NEGATIVE_INFINITY)',
      replace: 'false',
    },
  ],
  leeway: [{ file: 'refresh/states.ts', find: 'now - (facts.usedAt ?? 0) < leewayMs', replace: 'false' }],
  /** A repetition is answered at any time, as long as the successor is unused. */
  lockstep: [{ file: 'refresh/states.ts', find: 'now - (facts.usedAt ?? 0) < leewayMs', replace: 'true' }],
  /** Each instance goes by its own clock. */
  clock: [{ file: 'serve.ts', find: 'const { now } = clock;', replace: 'const now = Date.now;' }],
  /** A code is redeemed whether or not it was, and a family that has begun can begin once more. */
  code: [
    {
      file: 'oidc/library/record_store.ts',
      find: 'and id_hash = $2 and consumed_at is null',
      replace: 'and id_hash = $2',
    },
    {
      file: 'refresh/store.ts',
      find: 'on conflict (id) do nothing returning id',
      replace: 'on conflict (id) do update set offline = excluded.offline returning id',
    },
  ],
  /** A device whose answer was lost gets nothing for its next poll, and loses the family that it never had. */
  poll: [
    {
      file: 'oidc/library/record_store.ts',
      find: 'polledModels.has(model) ? lostAnswerMs',
      replace: 'polledModels.has(model) ? 0',
    },
  ],
  /** Each process begins a device's family with a token of its own. */
  first_token: [
    {
      file: 'refresh/store.ts',
      find: "keyedHash(successorKey, 'first', code)",
      replace: "keyedHash(successorKey, 'first', code, String(process.pid))",
    },
  ],
  /** No time step is ever used up: attempts at one account mostly wait for one another, and see it in what they read. */
  totp_step: [
    {
      file: 'totp/totp.ts',
      find: 'afterStep: stored.lastStep',
      replace: 'afterStep: null',
    },
    {
      file: 'totp/store.ts',
      find: 'and (totp_last_step is null or totp_last_step < $2) ',
      replace: '',
    },
  ],
  recovery_code: [
    { file: 'totp/store.ts', find: 'array_remove(code_hashes, $2::bytea)', replace: 'code_hashes' },
  ],
  step_token: [
    {
      file: 'storage/spent.ts',
      find: 'return rows.length === 1;',
      replace: 'return rows.length < 2;',
    },
  ],
  ke2: [
    {
      file: 'authentication/login_states.ts',
      find: 'ephemeral.take(`ke2:',
      replace: 'ephemeral.get(`ke2:',
    },
  ],
  /** A changed password leaves what was signed in with the old one. */
  password_change: [
    {
      file: 'account/changes.ts',
      find: 'await revocations.endAccount(account.id, query);',
      replace: '',
    },
  ],
  /** A token that names no session does not ask its grant for it. */
  grant_session: [
    {
      file: 'oidc/library/models/access_token.ts',
      find: 'session: with_session ? found.sessionUid : undefined,',
      replace: 'session: undefined,',
    },
  ],
  /** Who is disabled stays signed in, and signs in. */
  disablement: [
    {
      file: 'accounts/control.ts',
      find: `await accounts.setDisabled(id, true, query);
        await revocations.endAccount(id, query);`,
      replace: '',
    },
  ],
  /** A change's proof does for as many changes as are sent. Guarded four times: by itself and by the credential it proved. */
  proof: [
    {
      file: 'authentication/step_up.ts',
      find: 'if (!(await use(query, proof))) throw proofRequired();',
      replace: 'await use(query, proof);',
    },
    {
      file: 'authentication/step_up.ts',
      find: 'if (!(await accounts.holdsCredential(query, accountId, credentialId))) throw proofRequired();',
      replace: 'await accounts.holdsCredential(query, accountId, credentialId);',
    },
    {
      file: 'authentication/step_up.ts',
      find: '=== who.account.id && proof.credentialId === who.account.credentialId',
      replace: '=== who.account.id',
    },
    {
      file: 'accounts/accounts.ts',
      find: 'where id = $1 and credential_id = $2 and disabled_at is null returning id',
      replace: 'where id = $1 and $2::text is not null and disabled_at is null returning id',
    },
  ],
  revocation: [
    {
      file: 'revocation/looks.ts',
      find: 'resolve(subjects.some((subject) => revoked.has(subject)))',
      replace: 'resolve(subjects.length > 99 && revoked.size > 0)',
    },
  ],
};

/** The source of `url` as the broken build has it; unchanged where the edits are about other files. */
export function mutated(name: string, url: string, source: string): string {
  const edits = mutations[name];
  if (!edits) throw new Error(`no broken build is called ${name}: ${Object.keys(mutations).join(', ')}`);
  return edits
    .filter(({ file }) => url.endsWith(`/src/${file}`))
    .reduce((text, { file, find, replace }) => {
      // An edit that no longer fits would quietly test the whole build.
      if (text.split(find).length !== 2) throw new Error(`src/${file} has not exactly one: ${find}`);
      return text.replace(find, () => replace);
    }, source);
}
