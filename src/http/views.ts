/**
 * The pages: for each a typed view model and an EJS template, and one layout around them all. Templates receive plain
 * data, and decide only wording and markup. Everything they print is escaped. An address passes `webUri` before it
 * becomes a link or a picture.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ejs, { type TemplateFunction } from 'ejs';
import type { Assets } from './assets.ts';
import type { ErrorView, RecoveryCodesView } from './view_models.ts';

export interface Views {
  /** `notice`: why the page is shown again, for example what was wrong. */
  login: {
    uid: string;
    clientName: string;
    maySignUp: boolean;
    username?: string | undefined;
    notice?: string | undefined;
  };
  /** `invitation`: what it fixes for the new account. */
  register: {
    uid: string;
    clientName: string;
    invitation?: { username: string; email: string | null } | undefined;
  };
  /** `expires`: ISO 8601. */
  invitation: { username: string; expires: string };
  authenticator_reset: { username: string; expires: string };
  /**
   * `label`: the name of this site in the authenticator app. `recovery`: asks for a recovery code. `error`: what was
   * wrong with the last code, shown beside the field. `retryAfterSeconds`: when the next code makes sense.
   */
  totp: {
    uid: string;
    username: string;
    label: string;
    recovery: boolean;
    error?: string | undefined;
    retryAfterSeconds?: number | undefined;
  };
  /**
   * `action`: where the code is posted. `replacing`: another authenticator stays in use until then. `cancel`: the way
   * back. `secret`: base32 without spaces. `qrSvg`: SVG markup of `otpauthUri`, made by the server.
   */
  totp_setup: {
    action: string;
    replacing: boolean;
    cancel?: string | undefined;
    username: string;
    secret: string;
    otpauthUri: string;
    qrSvg: string;
    error?: string | undefined;
  };
  recovery_codes: RecoveryCodesView;
  /**
   * `host`: where the browser is sent afterwards, in words; empty for a device. The URIs are the client's own
   * metadata and not trusted.
   */
  consent: {
    uid: string;
    username: string;
    clientName: string;
    host: string;
    scopes: { name: string; description: string }[];
    /** The details of the request, by label and value. */
    details: { title: string; rows: [label: string, value: string][] }[];
    clientUri?: string | undefined;
    logoUri?: string | undefined;
    policyUri?: string | undefined;
    tosUri?: string | undefined;
  };
  /** `username`: who is signed in, if anybody. `apps`: the apps to link to. */
  home: {
    issuer: string;
    signOutUrl: string;
    apps: { name: string; uri: string }[];
    username?: string | undefined;
  };
  /** A person's own account. Times are given in ISO 8601 and in words. The forms send an `id` back. */
  account: {
    username: string;
    email?: string | undefined;
    recoveryCodesLeft: number;
    requests: number | undefined;
    /** The numbers of the neighbouring pages of sessions. */
    newer: number | undefined;
    older: number | undefined;
    sessions: {
      id: string;
      device: string;
      address: string;
      created: Moment;
      lastSeen: Moment;
      current: boolean;
    }[];
    apps: { id: string; name: string; asksFirst: boolean; scopes: string[]; since: Moment }[];
  };
  /** Asks for password and code again before a change. `change`: the path of that change's page. */
  account_confirm: { change: 'password' | 'authenticator' | 'recovery-codes'; username: string };
  account_password: { username: string };
  account_recovery_codes: { left: number };
  /**
   * Requests that wait for an answer. `error`: why the last answer was not accepted. `signInPath`: where to sign in
   * again, if that helps.
   */
  account_requests: {
    requests: {
      id: string;
      clientName: string;
      message: string | undefined;
      scopes: { name: string; description: string }[];
    }[];
    error?: string | undefined;
    signInPath?: string | undefined;
  };
  account_signed_out: Record<string, never>;
  /** `action` and `xsrf` as oidc-provider passes them to its logout page. */
  logout: {
    action: string;
    xsrf: string;
    username?: string | undefined;
    clientName?: string | undefined;
    /** Where a person who stays signed in continues. */
    stayUri?: string | undefined;
  };
  /** Moves on to `location`, an http(s) URL or a path, without a click. */
  onward: { location: string };
  /** Shown if the sign-in of the opened page is over. `app`: the app that it was for, if that is known. */
  finished: { username: string; app?: { name: string; uri: string } | undefined };
  /** Posts `fields` on to an app, by script or by a button. */
  form_post: { action: string; fields: [name: string, value: string][]; clientName?: string | undefined };
  /** `apps`: the other apps of the session, and whether they were notified. */
  logout_done: { clientName?: string | undefined; apps: SignedOutApp[] };
  /** Asks for the code that a device shows; `error` beside the field. */
  device: { action: string; xsrf: string; error?: string | undefined };
  /** `address`: the address that the device asked from. */
  device_confirm: {
    action: string;
    xsrf: string;
    userCode: string;
    address: string;
    clientName: string;
    scopes: { name: string; description: string }[];
  };
  device_done: { denied: boolean; clientName?: string | undefined };
  /**
   * A site behind forward-auth that the signed-in person may not enter. `switchUrl`: leads to a sign-in with another
   * account.
   */
  site_denied: { host: string; username: string | undefined; switchUrl: string; id: string };
  error: ErrorView;
}

/** `silent`: was notified and has not answered. `unaware`: has no address at which it could be notified. */
export interface SignedOutApp {
  name: string;
  state: 'signed_out' | 'silent' | 'unaware';
}

/** A point in time for people: `words` such as "2 days ago". */
export interface Moment {
  iso: string;
  words: string;
}

interface Page<View> {
  title(view: View): string;
  script?: string;
  /** Values that the template needs in addition to the view's own, or in place of them. */
  derive?(view: View): Record<string, unknown>;
}

const pages: { [K in keyof Views]: Page<Views[K]> } = {
  login: { title: () => 'Sign in', script: 'login.js' },
  register: { title: () => 'Create account', script: 'register.js' },
  invitation: { title: () => 'You are invited' },
  authenticator_reset: { title: () => 'Set up a new authenticator' },
  totp: { title: ({ recovery }) => (recovery ? 'Recovery code' : 'Enter your code'), script: 'page.js' },
  totp_setup: {
    title: ({ replacing }) => (replacing ? 'Replace your authenticator' : 'Set up your authenticator'),
    script: 'page.js',
    derive: ({ qrSvg, secret }) => ({
      qrUri: `data:image/svg+xml;base64,${Buffer.from(qrSvg).toString('base64')}`,
      secretGroups: secret.match(/.{1,4}/g) ?? [],
    }),
  },
  recovery_codes: { title: () => 'Your recovery codes', script: 'page.js' },
  consent: {
    title: ({ clientName }) => `Allow ${clientName}`,
    script: 'page.js',
    derive: (view) => ({
      clientUri: webUri(view.clientUri),
      logoUri: webUri(view.logoUri, ['https:']),
      policyUri: webUri(view.policyUri),
      tosUri: webUri(view.tosUri),
      initial: [...view.clientName.trim()][0]?.toUpperCase() ?? '?',
    }),
  },
  home: {
    title: () => 'Your sign-in',
    derive: ({ apps }) => ({ apps: apps.filter(({ uri }) => webUri(uri)) }),
  },
  account: { title: () => 'Your account', script: 'page.js' },
  account_confirm: { title: () => 'Confirm that it is you', script: 'account_confirm.js' },
  account_password: { title: () => 'Change your password', script: 'account_password.js' },
  account_recovery_codes: { title: () => 'New recovery codes', script: 'page.js' },
  account_requests: { title: () => 'Requests from apps', script: 'page.js' },
  account_signed_out: { title: () => 'You are signed out' },
  logout: {
    title: () => 'Sign out',
    script: 'page.js',
    derive: ({ stayUri }) => ({ stayUri: webUri(stayUri) }),
  },
  onward: { title: () => 'One moment' },
  finished: {
    title: () => 'You are signed in',
    derive: ({ app }) => ({ app: webUri(app?.uri) && app }),
  },
  form_post: { title: () => 'Back to the app', script: 'form_post.js' },
  logout_done: { title: () => 'Signed out' },
  device: { title: () => 'Connect a device', script: 'page.js' },
  device_confirm: { title: () => 'Is this your device?', script: 'page.js' },
  device_done: { title: ({ denied }) => (denied ? 'Not connected' : 'Connected') },
  site_denied: { title: () => 'This site is not open to you' },
  error: {
    title: ({ title }) => title,
    script: 'page.js',
    derive: ({ app }) => ({ app: webUri(app?.uri) && app }),
  },
};

/** Reads and compiles every template of `viewsDir` now: a broken one fails at the start and not at a request. */
export function createViews({ viewsDir, assets }: { viewsDir: string; assets: Pick<Assets, 'urlFor'> }) {
  const templates = new Map<string, TemplateFunction>();
  for (const name of [...Object.keys(pages), 'layout']) {
    const filename = join(viewsDir, `${name}.ejs`);
    const options = { filename, strict: true, localsName: 'view', rmWhitespace: false };
    templates.set(name, ejs.compile(readFileSync(filename, 'utf8'), options) as TemplateFunction);
  }
  const fill = (name: string, data: Record<string, unknown>, base: string) =>
    templates.get(name)?.({ ...data, base, asset: (file: string) => base + assets.urlFor(file) }) ?? '';

  return {
    /**
     * Returns the whole page as HTML. Every value is escaped, and no page holds inline script or style. `base`: our
     * origin, for a page that is shown at another origin: it loads its style from here, and runs no script.
     */
    render<K extends keyof Views>(name: K, view: Views[K], base = ''): string {
      const page: Page<Views[K]> = pages[name];
      const body = fill(name, { ...view, ...page.derive?.(view) }, base);
      return fill(
        'layout',
        { title: page.title(view), script: base ? undefined : page.script, name, body },
        base,
      );
    },
  };
}

/** `uri` as a link or picture source, or undefined unless it is an absolute URL with one of `protocols`. */
function webUri(uri: string | undefined, protocols = ['https:', 'http:']): string | undefined {
  if (!uri || !URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  return protocols.includes(url.protocol) ? url.href : undefined;
}

export type PageViews = ReturnType<typeof createViews>;
