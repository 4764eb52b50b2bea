/** Sessions: one truth for both instances; an end that holds. */
import { beforeEach, expect, test } from 'vitest';
import { createRevocations } from '../../src/revocation/revocations.ts';
import type { SaveOutcome, SessionPayload } from '../../src/sessions/session.ts';
import { createSessionStore, type SessionStore } from '../../src/sessions/store.ts';
import { atOnce, type Instance, onEveryBackend } from './backends.ts';

onEveryBackend('sessions', (backend) => {
  const open = ({ database }: Instance) => createSessionStore({ database, now: backend().now });
  const revocations = () => createRevocations((backend().instances[0] as Instance).database, backend().now);
  let here: SessionStore;
  let there: SessionStore;
  let mine: SessionPayload;
  let count = 0;
  beforeEach(async () => {
    [here, there] = backend().instances.map(open) as [SessionStore, SessionStore];
    count += 1;
    mine = { jti: `secret-${count}`, uid: `uid-${count}`, accountId: 'ada' };
    await here.save(mine, 60, {});
    await there.byId(mine.jti);
  });

  test('both instances find it by id and by uid, until it expires', async () => {
    const { jti: _, ...withoutId } = mine;
    for (const store of [here, there]) {
      expect(await store.byId(mine.jti)).toEqual(mine);
      expect(await store.byUid(mine.uid)).toEqual(withoutId);
    }
    backend().pass(61);
    for (const store of [here, there]) expect(await store.byId(mine.jti)).toBeUndefined();
  });

  test('a change, and a move to another id, is seen at once by an instance that has read it', async () => {
    await here.save({ ...mine, accountId: 'bob' }, 60, {});
    expect((await there.byId(mine.jti))?.accountId).toBe('bob');
    await here.save({ ...mine, jti: `${mine.jti} moved` }, 60, {});
    expect(await there.byId(mine.jti)).toBeUndefined();
    expect(await there.byId(`${mine.jti} moved`)).toBeDefined();
  });

  test('one that has ended is gone everywhere and no save in flight revives it', async () => {
    const racing = atOnce(backend().instances, (on) => open(on).save(mine, 60, {}));
    await revocations().endSessionById(mine.jti);
    await racing;
    expect(await there.save(mine, 60, {})).toBe('refused');
    for (const store of [here, there]) {
      expect(await store.byId(mine.jti)).toBeUndefined();
      expect(await store.byUid(mine.uid)).toBeUndefined();
    }
  });

  test('of forty saves at once, each under another id, none fails, and one id is left', async () => {
    for (let round = 0; round < 10; round++) {
      let ids = 0;
      const jtis = Array.from({ length: 40 }, () => `${mine.jti} ${round} ${ids++}`);
      const left = [...jtis];
      const saved = await atOnce(backend().instances, (on) =>
        open(on).save({ ...mine, jti: left.pop() as string }, 60, {}),
      );
      expect(saved).not.toContain(false);
      const found = await Promise.all(jtis.map((jti) => here.byId(jti)));
      expect(found.filter(Boolean)).toHaveLength(1);
    }
  });

  test('a save waits for an end that is under way, and says that it came too late', async () => {
    expect(await there.save({ ...mine, acr: 'changed' }, 60, {})).toBe('saved');
    const { database } = backend().instances[0] as Instance;
    let saving: Promise<SaveOutcome> | undefined;
    await database.transaction(async (query) => {
      expect(await revocations().endSession('ada', mine.uid, query)).toBe(true);
      saving = there.save({ ...mine, acr: 'changed again' }, 60, {});
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    expect(await saving).toBe('refused');
  });
});
