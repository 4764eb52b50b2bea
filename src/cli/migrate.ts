/**
 * `npx cypher migrate`: runs the migrations as the owner of the tables, so that the servers may run as a user who can change
 * rows and nothing else.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { root } from '../root.ts';
import { grantUse } from '../storage/grants.ts';
import { migrate } from '../storage/migrate.ts';
import { withDatabase } from './reach.ts';
import { print } from './stage.ts';

/** Gives the command its options and its work. */
export function describeMigrate(command: Command): void {
  command
    .option('--grant-to <user>', 'the user of the servers: gets the privileges that they need, and no others')
    .action(async ({ grantTo }: { grantTo?: string }) => {
      await withDatabase(loadConfig(root), { make: true }, async (url) => {
        const run = await migrate(url, join(root, 'migrations'));
        print(run.length > 0 ? `These migrations were run: ${run.join(', ')}.` : 'All migrations have run.');
        if (grantTo === undefined) return;
        await grantUse(url, grantTo);
        print(`${grantTo} may run the servers: read and write rows, and make no tables.`);
      });
    });
}
