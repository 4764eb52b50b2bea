/** What apps do with codes and tokens: redeem, refresh, introspect, revoke. */
import { sha256 } from '../../src/lib/crypto.ts';
import { apps } from '../support/apps.ts';
import { type About, type Answer, fingerprint } from './caller.ts';
import {
  type AccessToken,
  type Actor,
  type App,
  type Family,
  Interrupted,
  persist,
  type Session,
} from './world.ts';

/** A first-party app without a consent page, whose refresh families end with the session. */
export const { intranet } = apps;
/** An app that is granted `offline_access`: its families outlive the session. */
export const { web } = apps;
export const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
/** A device of the house, without a consent page either. */
export const tv = {
  client_id: 'tv',
  client_name: 'The television',
  client_secret: 'a-secret-of-the-television-0123456789abcdef',
  redirect_uri: '',
  redirect_uris: [],
  response_types: [],
  grant_types: [deviceGrant, 'refresh_token'],
  first_party: true,
};

/** An API that checks tokens without us, and an app of the house that is given such tokens and no refresh tokens. */
export const reportsApi = {
  audience: 'https://reports.example/api',
  scopes: ['reports.read'],
  token_format: 'v4.public',
  // Longer than what is left of a run when it comes to use one.
  token_seconds: 900,
  client_id: apps.api.client_id,
};
export const reports = {
  client_id: 'reports',
  client_name: 'Reports',
  client_secret: 'a-secret-of-the-reports-0123456789abcdef',
  redirect_uri: 'https://reports.example/callback',
  redirect_uris: ['https://reports.example/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code'],
  first_party: true,
};

export const basic = ({ client_id, client_secret }: { client_id: string; client_secret: string }) => ({
  authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`,
});

/** The family that a code or device code begins; its id in the database is derived from the code. */
export const familySubject = (code: string): string => `family:${sha256(`family ${code}`)}`;
export const tokenSubject = (accessToken: string): string => `token:${fingerprint(accessToken)}`;

const refreshTokenIn = ({ json }: Answer) => json.refresh_token as string | undefined;

/** Sends a code to the token endpoint. */
export function redeem(
  actor: Actor,
  via: number,
  app: App,
  grant: { code: string; codeVerifier: string },
  about: Partial<About> = {},
): Promise<Answer> {
  const subject = familySubject(grant.code);
  const begins = app === reports ? {} : { subjects: [subject], creates: subject, yields: refreshTokenIn };
  return actor.call(
    via,
    { op: 'redeem', uses: [`code:${fingerprint(grant.code)}`], ...begins, ...about },
    {
      path: '/token',
      headers: basic(app),
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code: grant.code,
        redirect_uri: app.redirect_uri,
        code_verifier: grant.codeVerifier,
      }),
    },
  );
}

/** Asks for the tokens of a device code, as often as it takes: there is one refresh token that it can yield. */
export function poll(
  actor: Actor,
  via: number,
  deviceCode: string,
  about: Partial<About> = {},
): Promise<Answer> {
  const subject = familySubject(deviceCode);
  return actor.call(
    via,
    {
      op: 'poll',
      presents: fingerprint(deviceCode),
      yields: refreshTokenIn,
      subjects: [subject],
      creates: subject,
      ...about,
    },
    {
      path: '/token',
      headers: basic(tv),
      body: new URLSearchParams({ grant_type: deviceGrant, device_code: deviceCode }),
    },
  );
}

/** What the app keeps of a redeemed code. */
export function familyOf(session: Session, app: App, code: string, { json }: Answer): Family {
  if (typeof json.refresh_token !== 'string') throw new Interrupted('the code was not redeemed');
  return {
    subject: familySubject(code),
    app,
    session,
    offline: app === web,
    refreshToken: json.refresh_token,
    accessToken: String(json.access_token),
    rotated: [],
    state: 'alive',
    unread: [],
  };
}

export function refresh(
  actor: Actor,
  via: number,
  family: Family,
  token: string,
  about: Partial<About> = {},
): Promise<Answer> {
  return actor.call(
    via,
    {
      op: 'refresh',
      presents: fingerprint(token),
      yields: refreshTokenIn,
      subjects: [family.subject],
      ...about,
    },
    {
      path: '/token',
      headers: basic(family.app),
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
    },
  );
}

/** Refreshes as an honest client: repeats the very same request until it is answered. */
export function refreshHonestly(actor: Actor, family: Family, token: string): Promise<Answer | undefined> {
  return persist(actor, { op: 'refresh', subjects: [family.subject] }, (via, honestSince) =>
    refresh(actor, via, family, token, { honestSince }),
  );
}

/** Keeps the tokens of an answered refresh. False where it was refused or never answered: the family is lost. */
export function keepTokens(family: Family, answer: Answer | undefined): boolean {
  if (typeof answer?.json.refresh_token !== 'string') {
    // The checker knows why; for the script the family is of no more use.
    if (family.state === 'alive') family.state = 'doubt';
    return false;
  }
  if (answer.json.refresh_token === family.refreshToken) return true;
  family.rotated.push(family.refreshToken);
  family.refreshToken = answer.json.refresh_token;
  family.accessToken = String(answer.json.access_token);
  return true;
}

/** Asks, as the API that an access token is for, or as its app, whether it is good. */
export function introspect(
  actor: Actor,
  via: number,
  { by, accessToken }: { by: Parameters<typeof basic>[0]; accessToken: string },
  about: Partial<About>,
) {
  return actor.call(
    via,
    { op: 'introspect', success: ({ json }) => json.active === true, ...about },
    {
      path: '/token/introspection',
      headers: basic(by),
      body: new URLSearchParams({ token: accessToken }),
    },
  );
}

/** Asks for a token of a session that lives, as somebody who is entitled to the answer. */
export function introspectHonestly(actor: Actor, { subject, session, accessToken }: AccessToken) {
  const subjects = [subject, session.subject];
  return persist(actor, { op: 'introspect', subjects }, (via, honestSince) =>
    introspect(actor, via, { by: apps.api, accessToken }, { subjects, honestSince }),
  );
}

/** Whether a token that has ended is good at either process. */
export const tryAccessToken = (actor: Actor, { subject, accessToken }: AccessToken) =>
  Promise.all(
    [0, 1].map((via) => introspect(actor, via, { by: apps.api, accessToken }, { subjects: [subject] })),
  );

/** Revokes a token; repeats until it is answered. */
export function revoke(actor: Actor, app: App, token: string): Promise<Answer | undefined> {
  return persist(actor, { op: 'revoke', subjects: [] }, (via, honestSince) =>
    actor.call(
      via,
      { op: 'revoke', honestSince },
      { path: '/token/revocation', headers: basic(app), body: new URLSearchParams({ token }) },
    ),
  );
}
