#!/usr/bin/env node
/**
 * `npx cypher …`: an administrator's commands, on the same database as the server and while it runs; a group a file of cli/.
 * Only the group that is asked for is loaded: the others are large, and `--help` needs their names alone.
 */
import { Command } from 'commander';
import { idsLast } from './cli/ids_last.ts';
import { AppError } from './lib/errors.ts';
import { version } from './version.ts';

interface Group {
  description: string;
  /** Adds its commands or options. */
  load(): Promise<(command: Command) => void>;
}

const groups: Record<string, Group> = {
  client: {
    description: 'apps and APIs',
    load: async () => (await import('./cli/client.ts')).addClientCommands,
  },
  token: {
    description: 'tokens of this server',
    load: async () => (await import('./cli/token.ts')).addTokenCommands,
  },
  user: {
    description: 'accounts',
    load: async () => (await import('./cli/user.ts')).addUserCommands,
  },
  key: {
    description: 'the keys of the server',
    load: async () => (await import('./cli/key.ts')).addKeyCommands,
  },
  backup: {
    description: 'write the whole database to a new file, also while the server runs',
    load: async () => (await import('./cli/backup.ts')).describeBackup,
  },
  restore: {
    description: 'put a backup into an empty database, and end all that was valid in it',
    load: async () => (await import('./cli/backup.ts')).describeRestore,
  },
  restored: {
    description: 'after a backup of the database was put back: end all that was valid then, and serve again',
    load: async () => (await import('./cli/restored.ts')).describeRestored,
  },
  doctor: {
    description: 'check configuration, storage, clock, keys and the way in, and say what to change',
    load: async () => (await import('./cli/doctor/command.ts')).describeDoctor,
  },
};

async function run(argv: string[]): Promise<void> {
  const program = new Command('cypher')
    .description('Administers a Cypher that runs on the same database.')
    .version(version);
  const asked = argv.slice(2).filter((word) => word !== 'help')[0];
  for (const [name, { description, load }] of Object.entries(groups)) {
    const command = program.command(name).description(description);
    if (name === asked) (await load())(command);
  }
  await program.parseAsync(idsLast(argv));
}

run(process.argv).catch((error: Error) => {
  process.stderr.write(`${error instanceof AppError ? error.publicMessage : error.message}\n`);
  process.exitCode = 1;
});
