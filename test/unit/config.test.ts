/** The configuration: every fault at once, by name and with what would be right; secrets from files; exit code 78. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig, misnamedSettings } from '../../src/config/load.ts';
import { built } from '../support/built.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cypher-config-'));
  file('clients.json', '[]');
  file('resources.json', '[]');
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string): string {
  writeFileSync(join(directory, name), content);
  return name;
}

const given = (env: Record<string, string>) => ({
  CLIENTS_FILE: 'clients.json',
  RESOURCES_FILE: 'resources.json',
  ...env,
});
/** The program takes relative paths from the folder of the installation, wherever it is run. */
const absolute = ({ CLIENTS_FILE, RESOURCES_FILE, ...env }: ReturnType<typeof given>) => ({
  ...env,
  CLIENTS_FILE: join(directory, CLIENTS_FILE),
  RESOURCES_FILE: join(directory, RESOURCES_FILE),
});
const load = (env: Record<string, string> = {}) => loadConfig(directory, given(env));

function faultsOf(env: Record<string, string>): string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

/** One faulty value of every setting, and a word of what would be right. */
const faulty: Record<string, [string, RegExp]> = {
  PORT: ['70000', /1 to 65535/],
  ISSUER: ['http://id.example', /https:\/\/id\.example\.com/],
  DATABASE_URL: ['mysql://localhost', /postgres:\/\//],
  DATABASE_POOL_SIZE: ['1', /2 to 1000/],
  REDIS_URL: ['localhost:6379', /redis:\/\//],
  TRUSTED_PROXIES: ['10.0.0.0/8,proxy.example', /10\.0\.0\.0\/8,127\.0\.0\.1/],
  LIMIT_ADDRESS_PER_MINUTE: ['0', /whole number from 1/],
  LIMIT_ACCOUNT_FAILURES: ['five', /1 to 1000/],
  SESSION_IDLE_SECONDS: ['1', /60 to 2592000/],
  SESSION_LIFETIME_SECONDS: ['1e9', /60 to 2592000/],
  REFRESH_LEEWAY_SECONDS: ['61', /0 \(off\) to 60/],
  LOG_LEVEL: ['loud', /trace, debug, info/],
  KEY_ENCRYPTION_KEY: ['too short', /openssl rand/],
};

describe('faults', () => {
  test('a rule on an e-mail address is refused: nobody has verified one', () => {
    for (const claims of [{ email: 'ada@example.com' }, { email: 'ada@example.com', email_verified: true }]) {
      file(
        'by_email.json',
        JSON.stringify({
          cookie_domain: 'example.com',
          sites: [{ host: 'wiki.example.com', claims }],
        }),
      );
      const faults = faultsOf({ FORWARD_AUTH_FILE: 'by_email.json', TRUSTED_PROXIES: '127.0.0.1' }).join(
        '\n',
      );
      expect(faults).toMatch(/\$\.sites\[0\]\.claims\.email .*not verified.*accounts/);
    }
  });

  test('those of FORWARD_AUTH_FILE too: strange hosts, doubled ones, nobody allowed, no proxy that is believed', () => {
    const host = 'wiki.example.com';
    const sites = [
      { host },
      { host },
      { host: 'wiki.example.org' },
      { host: 'https://a.example.com' },
      { host: 'b.example.com:0' },
      { host: 'c.example.com', accounts: [], max_age_seconds: 1, open: true },
    ];
    file('forward.json', JSON.stringify({ cookie_domain: 'example.com', sites }));
    const faults = faultsOf({ FORWARD_AUTH_FILE: 'forward.json' }).join('\n');
    for (const right of [
      /sites\[2\]\.host must be below example\.com/,
      /sites\[3\]\.host must be a host/,
      /sites\[4\]\.host must be a host/,
      /sites\[5\]\.accounts must name somebody/,
      /sites\[5\]\.max_age_seconds must be 60/,
      /sites\[5\] .*"open"/,
      /FORWARD_AUTH_FILE needs TRUSTED_PROXIES/,
    ])
      expect.soft(faults).toMatch(right);
    file('twice.json', JSON.stringify({ cookie_domain: 'com', sites: [{ host }, { host }] }));
    const others = faultsOf({ FORWARD_AUTH_FILE: 'twice.json', TRUSTED_PROXIES: '127.0.0.1' }).join('\n');
    expect.soft(others).toMatch(/cookie_domain must be a domain/);
    file('good.json', JSON.stringify({ cookie_domain: 'example.com', sites: [{ host }] }));
    const good = load({ FORWARD_AUTH_FILE: 'good.json', TRUSTED_PROXIES: '127.0.0.1' });
    expect(good.forwardAuth).toEqual({
      cookie_domain: 'example.com',
      sites: [{ host, claims: {}, scopes: ['profile', 'email'] }],
    });
  });

  test('all of them are reported at once, by name and with what would be right', () => {
    file('bad.json', '[{"client_name":1,"redirect_uris":["javascript:alert(1)"]}]');
    const env = Object.fromEntries(Object.entries(faulty).map(([name, [value]]) => [name, value]));
    const faults = faultsOf({ ...env, CLIENTS_FILE: 'bad.json', RESOURCES_FILE: 'missing.json' });
    for (const [name, [, right]] of Object.entries(faulty)) {
      const mine = faults.filter((fault) => fault.startsWith(`${name} `));
      expect(mine).toEqual([expect.stringMatching(right)]);
    }
    const clients = faults.filter((fault) => /^CLIENTS_FILE \S+bad\.json: \$\[0\]/.test(fault));
    expect(clients).toHaveLength(3);
    expect(clients.join()).toMatch(/client_id.*client_name.*redirect_uris/s);
    expect(faults.filter((fault) => fault.startsWith('RESOURCES_FILE '))).toHaveLength(1);
    expect(faults).toHaveLength(Object.keys(faulty).length + 4);
  });

  test.each([
    ['ISSUER', 'https://id.example/'],
    ['ISSUER', 'https://id.example/path'],
    ['ISSUER', 'HTTPS://ID.EXAMPLE'],
    ['ISSUER', 'id.example'],
    ['ISSUER', 'ftp://localhost'],
    ['PORT', '3000.5'],
    ['PORT', '-1'],
    ['TRUSTED_PROXIES', '10.0.0.0/40'],
    ['KEY_ENCRYPTION_KEY', 'A'.repeat(44)],
  ])('%s=%s', (name, value) => {
    expect(faultsOf({ [name]: value })).toEqual([expect.stringMatching(`^${name} must be`)]);
  });

  test('clients and resources that are given twice, or in no list', () => {
    const api = { client_secret: 'a secret', grant_types: [] };
    file('twice.json', JSON.stringify(['a', 'b', 'a'].map((client_id) => ({ client_id, ...api }))));
    expect(faultsOf({ CLIENTS_FILE: 'twice.json' })).toEqual([
      expect.stringMatching(/^CLIENTS_FILE .*twice\.json: client_id "a" is given twice$/),
    ]);
    file('object.json', '{"client_id":"a"}');
    expect(faultsOf({ CLIENTS_FILE: 'object.json' })).toEqual([
      expect.stringMatching(/must hold a JSON array/),
    ]);
    file('resource.json', '[{"audience":"https://api.example","token_seconds":901,"scope":"x"}]');
    expect(faultsOf({ RESOURCES_FILE: 'resource.json' })).toHaveLength(2);
  });

  test('an app without a secret or without an address is told what would be right, in the same run', () => {
    file(
      'apps.json',
      '[{"client_id":"a"},{"client_id":"b","client_secret":"ä","redirect_uris":["https://b.example/"]}]',
    );
    expect(faultsOf({ CLIENTS_FILE: 'apps.json', PORT: 'x' })).toEqual([
      expect.stringMatching(/^PORT /),
      expect.stringMatching(/client_secret must be given, or "token_endpoint_auth_method": "none"/),
      expect.stringMatching(/redirect_uris must name at least one address/),
      expect.stringMatching(/client_secret must be printable ASCII/),
    ]);
  });

  test('a secret never appears in what is reported', () => {
    const secret = 'canary-secret-value';
    const faults = faultsOf({ DATABASE_URL: secret, REDIS_URL: secret, KEY_ENCRYPTION_KEY: secret });
    expect(faults).toHaveLength(3);
    expect(faults.join()).not.toContain(secret);
  });
});

describe('secrets from files', () => {
  test('NAME_FILE gives a secret, without the line break at its end', () => {
    file('database', 'postgres://cypher:secret@localhost/cypher\n');
    file('kek', `${Buffer.alloc(32, 9).toString('base64url')}\n`);
    const config = load({ DATABASE_URL_FILE: 'database', KEY_ENCRYPTION_KEY_FILE: join(directory, 'kek') });
    expect(config.DATABASE_URL).toBe('postgres://cypher:secret@localhost/cypher');
    expect(config.KEY_ENCRYPTION_KEY).toEqual(Buffer.alloc(32, 9));
  });

  test('both given, a file that is missing, and one whose content is faulty', () => {
    file('redis', 'localhost');
    const faults = faultsOf({
      DATABASE_URL: 'postgres://localhost/a',
      DATABASE_URL_FILE: 'redis',
      REDIS_URL_FILE: 'redis',
      KEY_ENCRYPTION_KEY_FILE: 'missing',
    });
    expect(faults).toHaveLength(3);
    expect(faults).toContain('DATABASE_URL and DATABASE_URL_FILE are both set: keep one');
    expect(faults).toContainEqual(expect.stringMatching(/^KEY_ENCRYPTION_KEY_FILE cannot be read/));
    expect(faults).toContainEqual(expect.stringMatching(/^REDIS_URL must be redis:/));
  });
});

test('nothing need be set, and an empty setting is none', () => {
  expect(load({ PORT: '', DATABASE_URL: '', REDIS_URL_FILE: '' })).toMatchObject({
    PORT: 3000,
    HOST: '127.0.0.1',
    ISSUER: 'http://localhost:3000',
    LIMIT_ADDRESS_PER_MINUTE: 600,
    LIMIT_ACCOUNT_FAILURES: 5,
    DATA_DIR: join(directory, '.data'),
    TRUSTED_PROXIES: [],
  });
  expect(load({ PORT: '8080' }).ISSUER).toBe('http://localhost:8080');
  expect(load({ ISSUER: 'https://id.example:8443' }).ISSUER).toBe('https://id.example:8443');
});

describe('the server does not start', () => {
  /** Runs the real program; it ends by itself. */
  const start = (env: Record<string, string>) =>
    new Promise<{ code: unknown; stderr: string }>((resolve) => {
      const options = {
        cwd: directory,
        env: { PATH: process.env.PATH, ...absolute(given(env)) },
        timeout: 15_000,
      };
      execFile(process.execPath, [built.server], options, (error, _stdout, stderr) =>
        resolve({ code: error?.code ?? 0, stderr }),
      );
    });

  test('with faulty settings: exit code 78 and every fault on a line of its own', async () => {
    const { code, stderr } = await start({ PORT: 'x', LOG_LEVEL: 'loud', CLIENTS_FILE: 'missing.json' });
    expect(code).toBe(78);
    const lines = stderr.trim().split('\n');
    expect(lines[0]).toBe('The configuration has 3 faults:');
    expect(lines.slice(1).map((line) => line.trim().split(' ')[0])).toEqual([
      'PORT',
      'LOG_LEVEL',
      'CLIENTS_FILE',
    ]);
    expect(stderr).not.toContain('at ');
  });
});

test('a variable that looks like a setting and is none is reported, others of an environment are not', () => {
  const reported = {
    SIGNUP: 'SIGN_UP',
    sign_up: 'SIGN_UP',
    SIGN_UP_MODE: 'SIGN_UP',
    CYPHER_PORT: 'PORT',
    ISUER: 'ISSUER',
    ISSUER_FILE: 'ISSUER',
    REDIS_URI: 'REDIS_URL',
    TRUSTED_PROXY: 'TRUSTED_PROXIES',
    SESSION_IDLE: 'SESSION_IDLE_SECONDS',
    LOGLEVEL: 'LOG_LEVEL',
    KEY_ENCRYPTION_KEYS: 'KEY_ENCRYPTION_KEY',
  };
  const others = {
    ...{
      PATH: '',
      HOME: '',
      HOSTNAME: '',
      PWD: '',
      SHLVL: '',
      LANG: '',
      TERM: '',
      NODE_ENV: '',
      SUDO_USER: '',
    },
    ...{ SESSION_MANAGER: '', REDIS_PORT: '', POSTGRES_PORT_5432_TCP: '', CLIENT_ID: '', CLIENT_SECRET: '' },
    ...{ NODE_COMPILE_CACHE: '', PORTS: '', LOG_FORMAT: '', npm_config_loglevel: '', DATABASE_PASSWORD: '' },
    ...{ PORT: '', ISSUER: '', DATABASE_URL_FILE: '', SIGN_UP: '' },
  };
  const sentences = misnamedSettings({ ...reported, ...others });
  expect(sentences.map((sentence) => sentence.split(' ')[0]).sort()).toEqual(Object.keys(reported).sort());
  for (const [name, meant] of Object.entries(reported)) {
    const sentence = sentences.find((each) => each.startsWith(`${name} `));
    expect([name, sentence]).toEqual([name, expect.stringContaining(meant)]);
  }
});
