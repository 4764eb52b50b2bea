import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createViews, type Views } from '../../src/http/views.ts';

const { render } = createViews({
  viewsDir: join(import.meta.dirname, '../../views'),
  assets: { urlFor: (name) => `/assets/${name}` },
});

const HOSTILE = `"><script>alert('1')</script><img src=x onerror=alert(1)>`;

const moment = { iso: HOSTILE, words: HOSTILE };

/** Every page, with a hostile text wherever a text can come from outside. */
const hostile: { [K in keyof Views]: Views[K] } = {
  login: { uid: HOSTILE, clientName: HOSTILE, maySignUp: true, username: HOSTILE, notice: HOSTILE },
  register: { uid: HOSTILE, clientName: HOSTILE, invitation: { username: HOSTILE, email: HOSTILE } },
  invitation: { username: HOSTILE, expires: HOSTILE },
  authenticator_reset: { username: HOSTILE, expires: HOSTILE },
  site_denied: { host: HOSTILE, username: HOSTILE, switchUrl: HOSTILE, id: HOSTILE },
  finished: { username: HOSTILE, app: { name: HOSTILE, uri: `https://a.example/${HOSTILE}` } },
  onward: { location: `/${HOSTILE}` },
  totp: { uid: HOSTILE, username: HOSTILE, label: HOSTILE, recovery: false, error: HOSTILE },
  totp_setup: {
    action: HOSTILE,
    replacing: true,
    username: HOSTILE,
    secret: HOSTILE,
    otpauthUri: HOSTILE,
    qrSvg: HOSTILE,
    error: HOSTILE,
  },
  recovery_codes: { codes: [HOSTILE], form: { action: `/${HOSTILE}`, method: 'post' }, replacing: true },
  consent: {
    uid: HOSTILE,
    username: HOSTILE,
    clientName: HOSTILE,
    host: HOSTILE,
    scopes: [{ name: HOSTILE, description: HOSTILE }],
    details: [{ title: HOSTILE, rows: [[HOSTILE, HOSTILE]] }],
    clientUri: HOSTILE,
    logoUri: `https://example.org/${HOSTILE}`,
    policyUri: HOSTILE,
    tosUri: HOSTILE,
  },
  home: {
    issuer: HOSTILE,
    username: HOSTILE,
    signOutUrl: HOSTILE,
    apps: [{ name: HOSTILE, uri: 'https://a.example' }],
  },
  account: {
    username: HOSTILE,
    email: HOSTILE,
    recoveryCodesLeft: 10,
    requests: 1,
    newer: 1,
    older: 3,
    sessions: [
      { id: HOSTILE, device: HOSTILE, address: HOSTILE, created: moment, lastSeen: moment, current: false },
    ],
    apps: [{ id: HOSTILE, name: HOSTILE, asksFirst: true, scopes: [HOSTILE], since: moment }],
  },
  account_confirm: { change: 'password', username: HOSTILE },
  account_password: { username: HOSTILE },
  account_recovery_codes: { left: 10 },
  account_signed_out: {},
  account_requests: {
    requests: [
      {
        id: HOSTILE,
        clientName: HOSTILE,
        message: HOSTILE,
        scopes: [{ name: HOSTILE, description: HOSTILE }],
      },
    ],
    error: HOSTILE,
  },
  logout: { action: HOSTILE, xsrf: HOSTILE, username: HOSTILE, clientName: HOSTILE },
  form_post: { action: HOSTILE, fields: [[HOSTILE, HOSTILE]], clientName: HOSTILE },
  device: { action: '/device', xsrf: HOSTILE, error: HOSTILE },
  device_confirm: {
    action: '/device',
    xsrf: HOSTILE,
    userCode: HOSTILE,
    address: HOSTILE,
    clientName: HOSTILE,
    scopes: [{ name: HOSTILE, description: HOSTILE }],
  },
  device_done: { denied: false, clientName: HOSTILE },
  logout_done: { clientName: HOSTILE, apps: [{ name: HOSTILE, state: 'silent' }] },
  error: {
    status: 400,
    title: HOSTILE,
    message: HOSTILE,
    id: HOSTILE,
    hint: HOSTILE,
    sent: HOSTILE,
    again: true,
    app: { name: HOSTILE, uri: `https://app.example/${HOSTILE}` },
  },
};

test.each(Object.keys(hostile) as (keyof Views)[])('%s escapes every text it is given', (name) => {
  const html = render(name, hostile[name]);
  expect(html).not.toContain('<script>');
  expect(html).not.toContain('<img src=x');
  expect(html).not.toMatch(/ style=| on[a-z]+=[^a]/);
  expect(html).toContain('<html lang="en">');
});

const consent: Views['consent'] = {
  uid: 'u',
  username: 'ada',
  clientName: 'Ledger',
  host: 'ledger.example',
  scopes: [],
  details: [],
};

test.each([
  'javascript:alert(1)',
  ' JaVaScRiPt:alert(1)',
  'data:image/svg+xml,<svg onload=alert(1)>',
  'http://plain.example/logo.png',
  '//relative.example/logo.png',
])('a logo at %s is not shown', (logoUri) => {
  const html = render('consent', { ...consent, logoUri });
  expect(html).not.toContain('referrerpolicy');
  expect(html).not.toMatch(/javascript:|data:|plain\.example|relative\.example/i);
});

test('links of a client are shown for web addresses only', () => {
  const bad = 'javascript:alert(1)';
  const html = render('consent', { ...consent, clientUri: bad, policyUri: bad, tosUri: bad });
  expect(html).not.toContain('javascript:');
  expect(html).not.toContain('privacy policy');
  const good = render('consent', {
    ...consent,
    logoUri: 'https://a.example/l.png',
    policyUri: 'https://a.example/p',
  });
  expect(good).toContain('<img src="https://a.example/l.png"');
  expect(good).toContain('<a href="https://a.example/p" rel="noreferrer">privacy policy</a>');
});

test('an app of a wrong address is not linked from home', () => {
  const apps = [{ name: 'Bad', uri: 'javascript:alert(1)' }];
  expect(render('home', { issuer: 'https://id.example', signOutUrl: '/out', apps })).not.toContain('Bad');
});

test('the password fields have no name, so a form without its script can send no password', () => {
  for (const name of ['login', 'register'] as const) {
    const html = render(name, { uid: 'u', clientName: 'Ledger' });
    expect(html.match(/<input id="password"[^>]*>/)?.[0]).not.toContain(' name=');
    expect(html).toContain('<button class="button" type="submit" disabled>');
    expect(html).toContain('<noscript>');
  }
});

test('the secret of the set-up is one text without spaces', () => {
  const secret = 'JBSWY3DPEHPK3PXPJB';
  const view = {
    action: '/a',
    replacing: false,
    username: 'ada',
    secret,
    otpauthUri: 'otpauth://totp/x',
    qrSvg: '<svg></svg>',
  };
  const html = render('totp_setup', view);
  const shown = html.match(/data-testid="totp-secret">(.*?)<\/p>/)?.[1];
  expect(shown?.replaceAll(/<[^>]*>/g, '')).toBe(secret);
  expect(html).toContain(`data:image/svg+xml;base64,${btoa('<svg></svg>')}`);
});

test('who goes on from the recovery codes has to say that they are kept, with or without a script', () => {
  const form = { action: '/interaction/u/recovery-codes', method: 'post' } as const;
  const html = render('recovery_codes', { codes: ['a'], form, replacing: false });
  expect(html).toMatch(
    /<form class="form" method="post" action="\/interaction\/u\/recovery-codes">\s*<label[^>]*><input type="checkbox" required>/,
  );
});
