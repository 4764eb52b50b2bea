/** The command groups of `npx cypher` by name. Each is loaded only if it is used, because they are large. */
import type { Command } from 'commander';

interface Group {
  description: string;
  /** Loads the function that adds the group's commands or options. */
  load(): Promise<(command: Command) => void>;
}

export const groups: Record<string, Group> = {
  client: {
    description: 'apps and APIs',
    load: async () => (await import('./client.ts')).addClientCommands,
  },
  token: {
    description: 'tokens of this server',
    load: async () => (await import('./token.ts')).addTokenCommands,
  },
  user: {
    description: 'accounts',
    load: async () => (await import('./user.ts')).addUserCommands,
  },
  key: {
    description: 'the keys of the server',
    load: async () => (await import('./key.ts')).addKeyCommands,
  },
  audit: {
    description: 'the audit log',
    load: async () => (await import('./audit.ts')).addAuditCommands,
  },
  migrate: {
    description: 'make the tables, or bring them up to this version, as their owner',
    load: async () => (await import('./migrate.ts')).describeMigrate,
  },
  backup: {
    description: 'write the whole database to a new file, also while the server runs',
    load: async () => (await import('./backup.ts')).describeBackup,
  },
  restore: {
    description: 'put a backup into an empty database, and end all that was valid in it',
    load: async () => (await import('./backup.ts')).describeRestore,
  },
  restored: {
    description: 'after a backup of the database was put back: end all that was valid then, and serve again',
    load: async () => (await import('./restored.ts')).describeRestored,
  },
  doctor: {
    description: 'check configuration, storage, clock, keys and the way in, and say what to change',
    load: async () => (await import('./doctor/command.ts')).describeDoctor,
  },
};
