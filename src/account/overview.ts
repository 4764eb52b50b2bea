/** What the account page shows: sessions and apps, in words. */
import { accountClientId } from '../config/client_schema.ts';
import type { Moment, Views } from '../http/views.ts';
import type { SignedIn } from '../oidc/session/signed_in.ts';
import type { Access } from './access.ts';
import { ago, deviceInWords } from './words.ts';

export interface OverviewDeps {
  access: Pick<Access, 'of'>;
  recoveryCodesLeft(accountId: string): Promise<number>;
  /** Undefined for an app that is not registered any more. It has no access. */
  clientOf(clientId: string): Promise<{ name: string; firstParty: boolean } | undefined>;
  describeScope(scope: string): string;
  /** How many requests wait for an answer. Undefined if apps may not send such requests (CIBA). */
  requestsOf(accountId: string): Promise<number | undefined>;
  now: () => number;
}

export function createOverview(deps: OverviewDeps) {
  const { access, recoveryCodesLeft, clientOf, describeScope, requestsOf, now } = deps;
  const moment = (then: number): Moment => ({ iso: new Date(then).toISOString(), words: ago(then, now()) });

  return async function overview({ account, sessionUid }: SignedIn, page: number): Promise<Views['account']> {
    const [{ sessions, more, apps }, left, requests] = await Promise.all([
      access.of(account.id, { own: sessionUid, number: page }),
      recoveryCodesLeft(account.id),
      requestsOf(account.id),
    ]);
    const named = await Promise.all(
      apps
        .filter(({ clientId }) => clientId !== accountClientId)
        .map(async (app) => ({ ...app, client: await clientOf(app.clientId) })),
    );
    return {
      username: account.username,
      email: account.email,
      recoveryCodesLeft: left,
      requests,
      newer: page > 1 ? page - 1 : undefined,
      older: more ? page + 1 : undefined,
      sessions: sessions.map(({ uid, userAgent, address, createdAt, lastSeenAt }) => ({
        id: uid,
        device: deviceInWords(userAgent),
        address: address ?? 'unknown address',
        created: moment(createdAt.getTime()),
        lastSeen: moment(lastSeenAt.getTime()),
        current: uid === sessionUid,
      })),
      apps: named.flatMap(({ clientId, scopes, since, client }) =>
        client
          ? [
              {
                id: clientId,
                name: client.name,
                asksFirst: !client.firstParty,
                scopes: scopes.map(describeScope),
                since: moment(since),
              },
            ]
          : [],
      ),
    };
  };
}
