/** What is kept of clients by metadata document, and that made-up ones push none out. */
import { expect, test } from 'vitest';
import { AppError } from '../../src/lib/errors.ts';
import { createDocumentClients } from '../../src/oidc/clients/document_clients.ts';

function counting() {
  const asked: string[] = [];
  let at = 0;
  const find = createDocumentClients(
    async (id) => {
      asked.push(id);
      if (id.includes('unasked'))
        throw new Error('no', { cause: new AppError('too_many_requests', 'Wait.') });
      if (id.includes('made-up')) throw new Error('no document');
      return id.includes('nobody') ? undefined : { id };
    },
    () => at,
  );
  const pass = (ms: number) => {
    at += ms;
  };
  return { asked, find, pass };
}

test('ids whose documents were never had push no fetched client out, however many there are', async () => {
  const { asked, find } = counting();
  const honest = Array.from({ length: 50 }, (_, n) => `https://honest-${n}.example/client`);
  await Promise.all(honest.map(find));
  for (const kind of ['made-up', 'nobody', 'unasked'])
    await Promise.allSettled(Array.from({ length: 1500 }, (_, n) => find(`https://${kind}-${n}.example/`)));
  asked.length = 0;
  await Promise.all(honest.map(find));
  expect(asked).toEqual([]);
});

test('a client is kept for a minute, a failure for seconds, and one that was not even asked not at all', async () => {
  const { asked, find, pass } = counting();
  const ids = ['https://honest.example/', 'https://made-up.example/', 'https://unasked.example/'];
  const all = () => Promise.allSettled(ids.map(find));
  await all();
  await all();
  expect(asked).toEqual([...ids, ids[2]]);
  pass(5000);
  asked.length = 0;
  await all();
  expect(asked).toEqual(ids.slice(1));
  pass(55_000);
  asked.length = 0;
  await all();
  expect(asked.sort()).toEqual([...ids].sort());
});

test('those who ask at once share one look', async () => {
  const { asked, find } = counting();
  const id = 'https://honest.example/';
  await Promise.all([find(id), find(id), find(id)]);
  expect(asked).toEqual([id]);
});
