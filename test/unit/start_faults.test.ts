/** What an operator reads when the server cannot start: a sentence that names the setting, and no stack of ours. */
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { explainStartFault } from '../../src/config/start_faults.ts';
import { unavailable } from '../../src/lib/errors.ts';

const config = {
  ...loadConfig(process.cwd(), { PORT: '3000' }),
  METRICS_PORT: 9464,
  METRICS_HOST: 'metrics.example',
  DATABASE_URL: 'postgres://db/x',
};
const fault = (properties: object, message = 'x') => Object.assign(new Error(message), properties);
const explain = (properties: object, message?: string) =>
  explainStartFault(fault(properties, message), config);

test.each([
  [{ syscall: 'listen', code: 'EADDRINUSE', port: 3000 }, 'PORT 3000 is taken'],
  [{ syscall: 'listen', code: 'EADDRINUSE', port: 9464 }, 'METRICS_PORT 9464 is taken'],
  [{ syscall: 'listen', code: 'EADDRNOTAVAIL', port: 3000 }, 'HOST 127.0.0.1 is no address'],
  [{ syscall: 'listen', code: 'EADDRNOTAVAIL', port: 9464 }, 'METRICS_HOST metrics.example is no address'],
  [{ name: 'ConnectError', code: 'ECONNREFUSED' }, 'DATABASE_URL cannot be used: x'],
  [{ code: '28P01' }, 'DATABASE_URL cannot be used'],
  [{ code: '42501' }, 'DATABASE_URL cannot be used'],
  [{ name: 'ConnectError', code: '25006' }, 'Name the primary'],
  [{ name: 'ConnectError', code: '53300' }, 'Lower DATABASE_POOL_SIZE'],
  [{ name: 'MigrationsMissing' }, 'Cypher cannot start: x'],
])('%j is a setting to change', (properties, sentence) => {
  const { message, code } = explain(properties);
  expect(message).toContain(sentence);
  expect(message.split('\n')).toHaveLength(1);
  expect(code).toBe(78);
});

test.each([fault({ code: '57014' }), fault({}, 'Query read timeout')])(
  'a database that is too slow is no setting to change, and the process manager may try again',
  (cause) => {
    const { message, code } = explainStartFault(unavailable(cause), config);
    expect(message).toBe('Cypher cannot start: PostgreSQL answers too late. Look at its log and load.');
    expect(code).toBe(1);
  },
);

test('what storage said is named, not that the service is busy', () => {
  const cause = fault({ name: 'ConnectError', code: '3D000' }, 'db:5432: database "x" does not exist');
  for (const error of [unavailable(cause), unavailable(new Error('no answer in time', { cause }))]) {
    expect(explainStartFault(error, config)).toEqual({
      message: 'Cypher cannot start: DATABASE_URL cannot be used: db:5432: database "x" does not exist',
      code: 78,
    });
  }
});

test('a host that has no address is named by its setting', () => {
  expect(explain({ syscall: 'getaddrinfo' }, 'getaddrinfo ENOTFOUND metrics.example')).toEqual({
    message: 'Cypher cannot start: METRICS_HOST metrics.example is no address of this machine',
    code: 78,
  });
});

test('a fault of ours keeps its stack, for whoever has to mend it', () => {
  const { message, code } = explain({}, 'a bug');
  expect(message).toMatch(/a bug\n +at /);
  expect(code).toBe(1);
});
