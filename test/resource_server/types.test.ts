/** What the types promise to the code of an API; `tsc` holds it, and `vitest` only that the file runs. */
import { expectTypeOf, test } from 'vitest';
import type {
  Access,
  Refusal,
  RefusalCode,
  Verdict,
  VerifierOptions,
} from '../../src/resource_server/index.ts';
import { createVerifier } from '../../src/resource_server/index.ts';

test('a verdict is told apart by `ok`', () => {
  type Good = Extract<Verdict, { ok: true }>;
  type Bad = Extract<Verdict, { ok: false }>;
  expectTypeOf<Good['access']>().toEqualTypeOf<Access>();
  expectTypeOf<Bad['refusal']>().toEqualTypeOf<Refusal>();
  expectTypeOf<Bad>().not.toHaveProperty('access');
  const read = (verdict: Verdict) => {
    // @ts-expect-error there is no access before `ok` was looked at
    verdict.access;
    return verdict.ok ? verdict.access.sub : verdict.refusal.code;
  };
  expectTypeOf(read).returns.toEqualTypeOf<string>();
});

test('codes and statuses are literal, so that a switch over them can be complete', () => {
  expectTypeOf<'token_expired'>().toExtend<RefusalCode>();
  expectTypeOf<string>().not.toExtend<RefusalCode>();
  expectTypeOf<Refusal['status']>().toEqualTypeOf<400 | 401 | 403 | 503>();
  expectTypeOf<'no_such_code'>().not.toExtend<RefusalCode>();
});

test('issuer and audience are needed, and introspection comes with credentials', () => {
  expectTypeOf(createVerifier).parameter(0).toEqualTypeOf<VerifierOptions>();
  expectTypeOf<{ issuer: string }>().not.toExtend<VerifierOptions>();
  expectTypeOf<{ issuer: string; audience: string }>().toExtend<VerifierOptions>();
  expectTypeOf<{
    issuer: string;
    audience: string;
    introspection: { clientId: string };
  }>().not.toExtend<VerifierOptions>();
  expectTypeOf<Access['scopes']>().toEqualTypeOf<readonly string[]>();
});
