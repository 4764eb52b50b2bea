/** Inspects a token of this server: what it is, and whether it is valid. Changes nothing. */
import { createClientRegistry } from '../clients/registry.ts';
import { createClientSecrets } from '../clients/secrets.ts';
import { createClientStore } from '../clients/store.ts';
import { accountClientId } from '../config/client_schema.ts';
import type { Keyring } from '../keys/keyring.ts';
import { refreshTokenId } from '../oidc/tokens/refresh_tokens.ts';
import { createRefreshStore } from '../refresh/store.ts';
import { createRevocations } from '../revocation/revocations.ts';
import { derivedFor, tokenKeysetOf } from '../server_keys.ts';
import { type Claims, createTokens } from '../tokens/tokens.ts';
import { openKeys } from './keyring.ts';
import type { Stage } from './stage.ts';

export interface Inspected {
  kind: string;
  kid: string;
  live: boolean;
  /** Why the token is not valid. Empty if it is live. */
  because: string[];
  claims: Record<string, unknown>;
}

const kinds = ['access', 'public', 'refresh', 'session', 'step'] as const;

/** The claims that are never shown, because with them the token could be made again. */
const secretClaims = new Set(['token_id', 'id', 'jti']);

/** Inspects `token`. Rejects if this server did not make it, or if its key is gone. */
export async function inspectToken(stage: Stage, token: string): Promise<Inspected> {
  const { config, now } = stage;
  const { keyring, sealer } = await openKeys(stage);
  const tokens = createTokens({ issuer: config.ISSUER, keyset: tokenKeysetOf(keyring), now });
  const opened = (
    await Promise.all(kinds.map((kind) => tokens.open(kind, token, { ignoreExpiration: true })))
  ).find((claims) => claims !== undefined);
  if (!opened) {
    throw new Error(
      `no token of ${config.ISSUER}: it was made by another issuer, changed on the way, or its key is gone`,
    );
  }
  const because: string[] = [];
  if (opened.exp <= now() / 1000) because.push('it has expired');
  const clientId = text(opened.client_id);
  if (clientId !== undefined && !(await isThere(clientId, stage, { keyring, sealer })))
    because.push(`its client "${clientId}" is gone`);
  because.push(...(await reasonsOf(opened, stage, keyring)));
  return {
    kind: opened.type,
    kid: kidOf(token),
    live: because.length === 0,
    because,
    claims: Object.fromEntries(Object.entries(opened).filter(([name]) => !secretClaims.has(name))),
  };
}

/** Whether this client exists, in CLIENTS_FILE or in the database. */
async function isThere(
  clientId: string,
  { config, database, now }: Stage,
  { keyring, sealer }: Awaited<ReturnType<typeof openKeys>>,
): Promise<boolean> {
  if (clientId === accountClientId) return true;
  const registry = createClientRegistry({
    database: { watch: () => ({ reliable: () => false }) },
    store: createClientStore(database, now),
    secrets: createClientSecrets(keyring.derive(derivedFor.clientSecrets), sealer),
  });
  await registry.useFile(config.clients);
  return (await registry.byId(clientId)) !== undefined;
}

/** Why the token is not valid according to the database. */
async function reasonsOf(claims: Claims, stage: Stage, keyring: Keyring): Promise<string[]> {
  switch (claims.type) {
    case 'access':
    case 'public':
      return reasonsOfAccess(claims, stage);
    case 'refresh':
      return reasonsOfRefresh(claims, stage, keyring);
    case 'session':
      return reasonsOfSession(claims, stage);
    case 'step': {
      const used = await stage.database.query('select 1 from spent where id = $1', [
        `step:${String(claims.jti)}`,
      ]);
      return used.length > 0 ? ['it was used'] : [];
    }
  }
}

async function reasonsOfAccess(claims: Claims, { database, now }: Stage): Promise<string[]> {
  const revocations = createRevocations(database, now);
  const subjects = revocations.subjectsOf({
    jti: String(claims.jti),
    family: text(claims.family),
    grant: text(claims.grant),
    session: text(claims.session),
  });
  const ended = await Promise.all(
    subjects.map(async (subject) => ((await revocations.anyRevoked([subject])) ? subject : undefined)),
  );
  const names = { jti: 'it', family: 'its refresh family', grant: 'its grant', session: 'its session' };
  return ended.flatMap((subject) => {
    const what = subject?.split(':')[0] as keyof typeof names | undefined;
    return what === undefined ? [] : [`${names[what]} was revoked`];
  });
}

async function reasonsOfRefresh(
  claims: Claims,
  { config, database, now }: Stage,
  keyring: Keyring,
): Promise<string[]> {
  const refresh = createRefreshStore(database, {
    successorKey: keyring.derive(derivedFor.refreshSuccessors),
    leewayMs: config.REFRESH_LEEWAY_SECONDS * 1000,
    now,
    // The command rotates nothing.
    instance: '',
  });
  const id = refreshTokenId(claims);
  const stored = id && (await refresh.read(id));
  if (!stored) return ['the database has no such refresh token'];
  const { state } = stored;
  if (state === 'live') return [];
  if (state === 'retry') return ['it was used a moment ago: a repetition receives the same successor'];
  if (state === 'reuse') return ['it was used: presented again it would end its family'];
  const [family] = await database.query<{ ended_because: string | null }>(
    'select ended_because from refresh_families where id = $1',
    [id.familyId],
  );
  const why = family?.ended_because ? `: ${family.ended_because}` : '';
  return [`${state === 'ended' ? 'its family has ended' : 'it was idle for too long'}${why}`];
}

async function reasonsOfSession(claims: Claims, { database, now }: Stage): Promise<string[]> {
  const [session] = await database.query<{ ended: boolean }>(
    'select ended_at is not null as ended from sessions where uid = $1 and expires_at > $2',
    [text(claims.sid) ?? '', new Date(now())],
  );
  if (!session) return ['the database has no such session, or its time is over'];
  return session.ended ? ['its session was ended'] : [];
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** The key id of a token that was opened, so its footer is ours. */
const kidOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.').at(-1) ?? '', 'base64url').toString()) as { kid: string }).kid;
