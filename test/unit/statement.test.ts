import { expect, test } from 'vitest';
import { together } from '../../src/storage/statement.ts';

test('several statements become one, each with its own parameters', () => {
  const first = { text: 'insert into a values ($1, $2)', values: [1, 'two'] };
  const second = { text: 'update b set x = $2 where id = $1', values: ['id', 'x'] };
  const last = { text: 'insert into c values ($1) returning c', values: [11] };
  expect(together([first, second], last)).toEqual({
    text:
      'with write_1 as (insert into a values ($1, $2)), write_2 as (update b set x = $4 where id = $3) ' +
      'insert into c values ($5) returning c',
    values: [1, 'two', 'id', 'x', 11],
  });
  expect(together([], last)).toEqual(last);
});
