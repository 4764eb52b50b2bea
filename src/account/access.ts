/**
 * What has access to an account: its sessions, and the apps that may act for it. The account page shows them and ends
 * them. Each call ends things of one account only: the id of another account's session or app ends nothing.
 */
import type { Audit } from '../audit/audit.ts';
import type { Consents } from '../consents/consents.ts';
import { sha256 } from '../lib/crypto.ts';
import { lifeSeconds } from '../lifetimes.ts';
import type { ListedGrant } from '../oidc/library/record_store.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { ListedSession, SessionStore } from '../sessions/store.ts';
import type { Database } from '../storage/database.ts';

export interface AccessDeps {
  sessions: Pick<SessionStore, 'ofAccount'>;
  grants: { grantsOf(accountId: string): Promise<ListedGrant[]> };
  consents: Pick<Consents, 'list'>;
  /** The scope that lets an app see a claim. */
  scopeOfClaim(claim: string): string;
  refresh: { grantsOf(accountId: string): Promise<string[]> };
  revocations: Pick<Revocations, 'endAccount' | 'endClient' | 'endSession'>;
  audit: Pick<Audit, 'recordWithin'>;
  database: Database;
  now: () => number;
}

export interface AppAccess {
  clientId: string;
  scopes: string[];
  /** Milliseconds since the epoch. */
  since: number;
}

export interface Access {
  /** One page of the sessions, numbered from 1, and all apps. The session `own` comes first. */
  of(
    accountId: string,
    page: { own: string; number: number },
  ): Promise<{ sessions: ListedSession[]; more: boolean; apps: AppAccess[] }>;
  /** False where the account has no such session. */
  endSession(accountId: string, uid: string): Promise<boolean>;
  /** `address`: of the person who asked for it, for the audit log. */
  endEverything(accountId: string, address: string): Promise<void>;
  /** Ends all that the account has granted to the client. False if there was nothing. */
  removeApp(accountId: string, clientId: string): Promise<boolean>;
}

const sessionsAPage = 50;

export function createAccess(deps: AccessDeps): Access {
  const { sessions, grants, consents, refresh, revocations, audit, database, now } = deps;
  return {
    async of(accountId, { own, number }) {
      const skip = (number - 1) * sessionsAPage;
      const [live, granted, refreshable, remembered] = await Promise.all([
        sessions.ofAccount(accountId, { own, skip, most: sessionsAPage + 1 }),
        grants.grantsOf(accountId),
        refresh.grantsOf(accountId),
        consents.list(accountId),
      ]);
      const inUse = new Set([...live.flatMap((session) => session.grants), ...refreshable].map(sha256));
      // A grant can outlive its session and its refresh tokens. Access tokens that were issued at its start may still
      // be valid.
      const mayHaveTokens = ({ createdAt }: ListedGrant) =>
        now() - createdAt < lifeSeconds.accessToken * 1000;
      const alive = granted.filter((grant) => inUse.has(grant.idHash) || mayHaveTokens(grant));
      const most = sessionsAPage + (live[0]?.uid === own ? 1 : 0);
      const allowed = remembered.map(({ clientId, scopes, claims, since }) => ({
        clientId,
        scopes: [...scopes, ...claims.map(deps.scopeOfClaim)],
        since,
      }));
      return {
        sessions: live.slice(0, most),
        more: live.length > most,
        apps: byClient([...alive.map(asAccess), ...allowed]),
      };
    },
    endSession: (accountId, uid) =>
      database.transaction((query) => revocations.endSession(accountId, uid, query)),
    endEverything: (accountId, address) =>
      database.transaction(async (query) => {
        await revocations.endAccount(accountId, query);
        const detail = { by: 'owner' };
        await audit.recordWithin(query, { event: 'account.signed_out', accountId, address, detail });
      }),
    removeApp: (accountId, clientId) => revocations.endClient(accountId, clientId),
  };
}

const asAccess = ({ clientId, scopes, createdAt }: ListedGrant): AppAccess => ({
  clientId,
  scopes,
  since: createdAt,
});

/**
 * Merges grants by app. Each browser of a person has its own grant, beside the remembered consent; to the person they
 * are one app.
 */
function byClient(granted: AppAccess[]): AppAccess[] {
  const apps = new Map<string, AppAccess>();
  for (const { clientId, scopes, since } of granted) {
    const known = apps.get(clientId);
    apps.set(clientId, {
      clientId,
      scopes: [...new Set([...(known?.scopes ?? []), ...scopes])],
      since: Math.min(known?.since ?? since, since),
    });
  }
  return [...apps.values()].sort((a, b) => b.since - a.since);
}
