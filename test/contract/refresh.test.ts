/** Refresh families and revocations: one successor whoever asks, one answer whichever instance is asked. */
import { expect, test } from 'vitest';
import { sha256 } from '../../src/lib/crypto.ts';
import { createRefreshStore } from '../../src/refresh/store.ts';
import { createRevocations } from '../../src/revocation/revocations.ts';
import { atOnce, type Instance, onEveryBackend } from './backends.ts';

onEveryBackend('refresh families', (backend) => {
  const { now, pass } = { now: () => backend().now(), pass: (seconds: number) => backend().pass(seconds) };
  const refreshOn = ({ database }: Instance) =>
    createRefreshStore(database, {
      successorKey: Buffer.alloc(32, 1),
      leewayMs: 10_000,
      now,
      instance: 'here',
    });
  const revocationsOn = ({ database }: Instance) => createRevocations(database, now);
  const inSeconds = (seconds: number) => now() + seconds * 1000;
  let count = 0;

  /** A new family, begun through the first instance. */
  async function begun(grantId = 'a grant') {
    const [here, there] = backend().instances;
    count += 1;
    const id = `family-${count}`;
    const token = `token-${count}`;
    const family = { id, grantId, clientId: 'web', accountId: 'ada', sessionUid: 'session', offline: false };
    await refreshOn(here).begin(
      { ...family, expiresAt: inSeconds(3000) },
      { tokenId: token, payload: {}, issuedAt: now(), expiresAt: inSeconds(600) },
    );
    const presented = (generation: number) => {
      let tokenId = token;
      for (let count = 0; count < generation; count += 1) tokenId = refreshOn(here).successorOf(tokenId);
      return { tokenId, familyId: id, generation, expiresAt: inSeconds(600) };
    };
    const rotate = (on: Instance, generation = 0) =>
      refreshOn(on).rotate(presented(generation), { issuedAt: now(), expiresAt: inSeconds(600) });
    const stateOn = async (on: Instance, generation = 0) =>
      (await refreshOn(on).read(presented(generation)))?.state;
    return { here, there, id, token, rotate, stateOn, presented };
  }

  test('of forty rotations at once one is stored, and all see the one successor', async () => {
    const { here, there, token, rotate, stateOn } = await begun();
    const won = await atOnce(backend().instances, (on) => rotate(on));
    expect(won.filter(Boolean)).toEqual([true]);
    expect(refreshOn(there).successorOf(token)).toBe(refreshOn(here).successorOf(token));
    expect(await stateOn(there)).toBe('retry');
    expect(await stateOn(there, 1)).toBe('live');
  });

  test('the first token of a code that is polled with is one for all instances, and no successor', async () => {
    const [here, there] = backend().instances;
    expect(refreshOn(here).firstOf('a code')).toBe(refreshOn(there).firstOf('a code'));
    expect(refreshOn(here).firstOf('a code')).not.toBe(refreshOn(there).successorOf('a code'));
    expect(refreshOn(here).firstOf('a code')).not.toBe(refreshOn(there).firstOf('another code'));
  });

  test('a repetition is a retry within the leeway, and a reuse after it or once the successor was used', async () => {
    const late = await begun();
    await late.rotate(late.here);
    pass(10);
    expect(await late.stateOn(late.there)).toBe('reuse');
    const used = await begun();
    await used.rotate(used.here);
    await used.rotate(used.there, 1);
    expect(await used.stateOn(used.here)).toBe('reuse');
  });

  test('an end through one instance is an end on the other: nothing rotates, its access tokens are known', async () => {
    const { here, there, id, rotate, stateOn } = await begun();
    await revocationsOn(here).endFamily(id, 'revoked');
    expect(await stateOn(there)).toBe('ended');
    expect(await rotate(there)).toBe(false);
    expect(await revocationsOn(there).anyRevoked([`family:${id}`, 'jti:unknown'])).toBe(true);
    expect(await revocationsOn(there).anyRevoked(['family:unknown', 'jti:unknown'])).toBe(false);
  });

  test('of an end and forty rotations at once nothing live is left', async () => {
    const { here, there, id, rotate, stateOn } = await begun();
    const rotating = atOnce(backend().instances, (on) => rotate(on));
    await revocationsOn(here).endFamily(id, 'reuse');
    await rotating;
    expect(await stateOn(there)).toBe('ended');
    expect(await stateOn(there, 1)).not.toBe('live');
  });

  test('a token that the database has lost rolls its family forward, once and in no other family', async () => {
    const { here, there, rotate, stateOn, presented } = await begun();
    for (const generation of [0, 1, 2]) await rotate(here, generation);
    // A failover: the database is where it was two rotations before.
    await there.database.query('update refresh_families set generation = 1, token_hash = $2 where id = $1', [
      presented(1).familyId,
      sha256(presented(1).tokenId),
    ]);
    expect(await stateOn(there, 3)).toBe('live');
    const won = await atOnce(backend().instances, (on) => rotate(on, 3));
    expect(won.filter(Boolean)).toEqual([true]);
    expect([await stateOn(there, 4), await stateOn(here, 3)]).toEqual(['live', 'retry']);
    for (const generation of [0, 1, 2]) expect(await stateOn(there, generation)).toBe('reuse');
    expect(await rotate(here, 2)).toBe(false);
    const other = await begun();
    expect(await refreshOn(here).read({ ...other.presented(9), familyId: 'no family' })).toBeUndefined();
    const tooLate = { ...other.presented(5), expiresAt: now() };
    expect((await refreshOn(here).read(tooLate))?.state).toBe('expired');
  });

  test('a grant ends with all of its families and no other', async () => {
    const mine = await begun('grant to end');
    const other = await begun('another grant');
    await revocationsOn(mine.there).endGrant('grant to end', 'signed_out');
    expect(await mine.stateOn(mine.here)).toBe('ended');
    expect(await other.stateOn(other.here)).toBe('live');
  });
});
