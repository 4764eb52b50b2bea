/** The heartbeats of instances: who is listed and for how long, what a beat proves, and what differs between them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareInstances } from '../../src/cli/doctor/instances.ts';
import { createLog } from '../../src/lib/log.ts';
import { createInstances, hashFiles, type Instance } from '../../src/storage/instances.ts';
import { createSweeper } from '../../src/storage/sweeper.ts';
import { openStores } from '../support/stores.ts';

let stores: Awaited<ReturnType<typeof openStores>>;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores.close());

const key = Buffer.alloc(32, 1);
const filesOf = (clients: string) => hashFiles(key, { CLIENTS_FILE: clients, RESOURCES_FILE: 'r' });

function instance(id: string, facts = { version: '1.0.0', files: filesOf('a') }) {
  const beats: boolean[] = [];
  const { query } = stores.database;
  const made = createInstances({
    query,
    now: stores.now,
    id,
    facts: () => facts,
    onBeat: (ok) => beats.push(ok),
  });
  return { ...made, facts, beats };
}

test('an instance is listed with what it last said, until it is silent for ten seconds; its row stays for a day', async () => {
  const [one, two] = [instance('one'), instance('two')];
  await one.beat();
  await two.beat();
  expect(await one.list()).toMatchObject([{ id: 'one', ...one.facts }, { id: 'two' }]);
  two.facts.files = filesOf('b');
  stores.pass(9);
  await two.beat();
  expect(await one.list()).toMatchObject([{ id: 'one' }, { id: 'two', files: filesOf('b') }]);
  stores.pass(2);
  expect((await one.list()).map(({ id }) => id)).toEqual(['two']);

  const rows = async () => (await stores.database.query('select from instances')).length;
  const sweeper = createSweeper(stores.database, createLog('silent'), stores.now);
  stores.pass(86_390);
  await sweeper.sweep();
  expect(await rows()).toBe(1);
  stores.pass(60);
  await sweeper.sweep();
  expect(await rows()).toBe(0);
});

test('a started instance beats again and again, and not after it was stopped', async () => {
  const repeating = instance('repeating');
  repeating.start();
  await expect.poll(() => repeating.beats.length, { timeout: 30_000 }).toBeGreaterThan(2);
  repeating.stop();
  expect(new Set(repeating.beats)).toEqual(new Set([true]));
  const [row] = (await repeating.list()).filter(({ id }) => id === 'repeating');
  expect(row?.beatAt.getTime()).toBe(stores.now());
});

test('a database that answers reads and takes no writes fails the beat', async () => {
  const cutOff = instance('cut off');
  const { query } = stores.database;
  await query(
    "create function refuse() returns trigger language plpgsql as 'begin raise exception $$full$$; end'",
  );
  await query('create trigger refuse before insert on instances for each row execute function refuse()');
  await expect(cutOff.beat()).rejects.toThrow('full');
  expect((await cutOff.list()).map(({ id }) => id)).not.toContain('cut off');
  await query('drop trigger refuse on instances');
  await cutOff.beat();
  expect(cutOff.beats).toEqual([false, true]);
});

test('a hash tells two contents apart, and cannot be made without the key', () => {
  expect(filesOf('a')).toEqual(filesOf('a'));
  expect(filesOf('a').CLIENTS_FILE).not.toBe(filesOf('b').CLIENTS_FILE);
  expect(hashFiles(Buffer.alloc(32, 2), { CLIENTS_FILE: 'a' }).CLIENTS_FILE).not.toBe(
    filesOf('a').CLIENTS_FILE,
  );
  expect(filesOf('a').FORWARD_AUTH_FILE).toBeUndefined();
});

const running = (id: string, clients = 'a', version = '1.0.0'): Instance => ({
  ...{ id, version, files: filesOf(clients) },
  startedAt: new Date(0),
  beatAt: new Date(0),
});

test.each([
  ['none', [], ['ok']],
  ['those that are alike, and like this machine', [running('one'), running('two')], ['ok']],
  ['another file', [running('one'), running('two', 'b')], ['fault: CLIENTS_FILE differs between instances']],
  [
    'a file that this machine lacks',
    [running('one', 'b')],
    ['warning: the instances work with another CLIENTS_FILE'],
  ],
  [
    'two versions',
    [running('one'), running('two', 'a', '1.1.0')],
    ['warning: instances of different versions'],
  ],
] as const)('of %s the doctor says what differs', (_, instances, expected) => {
  const found = compareInstances(instances, filesOf('a')).map(({ level, found, change }) =>
    level === 'ok' ? level : `${level}: ${found}${change ? '' : ' (and what to change is missing)'}`,
  );
  expect(found).toHaveLength(expected.length);
  for (const [index, text] of expected.entries()) expect(found[index]).toContain(text);
});
