/** Codes by RFC 6238, appendix B (SHA-1, cut to six digits), through the whole of createTotp on a store in memory. */
import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/crypto.ts';
import { parseCode, parseTotpCode } from '../../src/lib/typed_code.ts';
import type { Query } from '../../src/storage/database.ts';
import { createTotp } from '../../src/totp/totp.ts';

const account = { id: 'an account', username: 'ada' };
/** The RFC's secret: the ASCII digits 1234567890 twice. */
const rfcSecret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';

/** The two statements of confirm and use that touch the account, on one row; no recovery codes are looked at. */
function oneAccount() {
  const row: { sealed?: Buffer; kekId?: string; lastStep: number | null } = { lastStep: null };
  const query = async (sql: string, values: unknown[] = []) => {
    if (sql.includes('set totp_secret')) {
      if (row.sealed) return [];
      row.sealed = values[1] as Buffer;
      row.kekId = values[2] as string;
      row.lastStep = values[3] as number;
      return [{ id: account.id }];
    }
    if (sql.includes('set totp_last_step')) {
      const step = values[1] as number;
      if (row.lastStep !== null && row.lastStep >= step) return [];
      if (!row.sealed?.equals(values[2] as Buffer)) return [];
      row.lastStep = step;
      return [{ id: account.id }];
    }
    if (sql.includes('totp_secret as sealed')) return row.sealed ? [{ ...row }] : [];
    return [];
  };
  return { row, query: query as unknown as Query };
}

function at(seconds: number) {
  const clock = { seconds };
  const totp = createTotp({
    issuer: 'https://id.example',
    sealer: createSealer(Buffer.alloc(32, 1)),
    setupKey: Buffer.alloc(32, 2),
    recoveryKey: Buffer.alloc(32, 3),
    recoveryCodesKey: Buffer.alloc(32, 4),
    onUnreadable: () => {},
    now: () => clock.seconds * 1000,
  });
  const store = oneAccount();
  const use = async (accountId: string, code: string) =>
    (await totp.verifierFor(store.query, accountId))(store.query, parseCode(code));
  /** By a code that somebody types at the set-up. */
  const confirm = (code: string) =>
    totp.confirm(store.query, account, { secret: rfcSecret, code: parseTotpCode(code), madeBy: 'a step' });
  return { clock, totp, use, confirm, ...store };
}

describe('RFC 6238, appendix B', () => {
  test.each([
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ])('at %d the code is %s', async (seconds, code) => {
    const { confirm, row } = at(seconds);
    expect(await confirm(code)).toHaveLength(10);
    expect(row.lastStep).toBe(Math.floor(seconds / 30));
    const wrong = at(seconds);
    const next = String((Number(code) + 1) % 1_000_000).padStart(6, '0');
    expect(await wrong.confirm(next)).toBeUndefined();
  });
});

test('a code is good for its own step and one on either side', async () => {
  const outcomes: Record<number, boolean> = {};
  for (const seconds of [
    1111111110 - 61,
    1111111110 - 60,
    1111111110 - 31,
    1111111110 - 1,
    1111111110 + 29,
    1111111110 + 30,
  ]) {
    const { confirm } = at(seconds);
    outcomes[seconds - 1111111110] = Array.isArray(await confirm('081804'));
  }
  // The code of the step that ends before 1111111110: from 30 s before its begin to 30 s after its end.
  expect(outcomes).toEqual({ '-61': false, '-60': true, '-31': true, '-1': true, '29': true, '30': false });
});

test('a step is used once, a step before it never, and a clock set back refuses', async () => {
  const { confirm, clock, use } = at(59);
  expect(await confirm('287082')).toBeDefined();
  expect(await use(account.id, '287082')).toBeUndefined();
  clock.seconds = 1111111109;
  expect(await use(account.id, '050471')).toBe('otp');
  expect(await use(account.id, '081804')).toBeUndefined();
  clock.seconds = 1111111111;
  expect(await use(account.id, '081804')).toBeUndefined();
  expect(await use(account.id, '050471')).toBeUndefined();
  clock.seconds = 59;
  expect(await use(account.id, '287082')).toBeUndefined();
});

test('a secret that is sealed anew while a code is checked is the same one; another secret is not', async () => {
  const sealedAnew = (secret: string) =>
    createSealer(Buffer.alloc(32, 1)).seal(Buffer.from(secret), `accounts ${account.id} totp_secret`);
  for (const [secret, outcome] of [
    [rfcSecret, 'otp'],
    [rfcSecret.replace('GEZ', 'GEY'), undefined],
  ] as const) {
    const { totp, query, confirm, row, clock } = at(59);
    await confirm('287082');
    clock.seconds = 1111111109;
    const use = await totp.verifierFor(query, account.id);
    row.sealed = sealedAnew(secret);
    const code = parseCode('081804');
    expect(await use(query, code)).toBe(outcome);
    expect(await use(query, code)).toBeUndefined();
  }
});

test('what is no six digits is no code, and spaces, dashes and full-width digits change nothing', async () => {
  for (const code of ['', '28708', '2870820', '٢٨٧٠٨٢', '2870.2', '0x1234', 'abcd-efgh-jkmn'])
    expect(() => parseTotpCode(code), code).toThrow('malformed_code');
  for (const code of ['287 082', '287082 ', '287-082', '287\u2013082', '\u200b287082', '２８７０８２'])
    expect(parseTotpCode(code), code).toEqual({ factor: 'otp', text: '287082' });
});

test('a confirmed secret is not confirmed again, and is sealed for its account', async () => {
  const { confirm, row, clock, use } = at(59);
  await confirm('287082');
  const sealed = row.sealed;
  expect(sealed?.includes(rfcSecret)).toBe(false);
  clock.seconds = 1111111109;
  expect(await confirm('081804')).toBeUndefined();
  expect(row.sealed).toBe(sealed);
  await expect(use('another account', '081804')).rejects.toThrow();
});

test('the secret that is offered is 160 bits, by interaction and account, and carries no name of ours but the host', () => {
  const { totp } = at(59);
  const offered = totp.setup('uid', account);
  expect(offered).toEqual(totp.setup('uid', account));
  expect(offered.secret).toMatch(/^[A-Z2-7]{32}$/);
  const secrets = [offered, totp.setup('uid2', account), totp.setup('uid', { id: 'b', username: 'ada' })];
  expect(new Set(secrets.map(({ secret }) => secret)).size).toBe(3);
  const uri = new URL(offered.otpauthUri);
  expect(decodeURIComponent(uri.pathname)).toMatch(/id\.example:ada$/);
  expect([uri.searchParams.get('secret'), uri.searchParams.get('issuer')]).toEqual([
    offered.secret,
    'id.example',
  ]);
});

test('recovery codes are ten of twelve letters, by account and by what made them, and spread over the alphabet', async () => {
  const { totp, query } = at(59);
  const made = (id: string, by: string) => totp.renewRecoveryCodes(query, id, by);
  const codes = await made('a', 'a step');
  expect(await made('a', 'a step')).toEqual(codes);
  const all = [...codes, ...(await made('a', 'another step')), ...(await made('b', 'a step'))];
  expect(new Set(all).size).toBe(30);
  for (const code of all) expect(code).toMatch(/^([a-hj-km-np-z2-9]{4}-){2}[a-hj-km-np-z2-9]{4}$/);
  // 360 letters of 31: each is expected 11.6 times.
  const letters = Map.groupBy(all.join('').replaceAll('-', ''), (letter) => letter);
  expect(letters.size).toBe(31);
  expect(Math.max(...[...letters.values()].map(({ length }) => length))).toBeLessThan(30);
});
