#!/usr/bin/env node
/** `npx cypher …`: the commands of an administrator. They use the server's database, also while the server runs. */
import { Command } from 'commander';
import { groups } from './cli/groups.ts';
import { idsLast } from './cli/ids_last.ts';
import { AppError, causeOf } from './lib/errors.ts';
import { version } from './version.ts';

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

// The reader may close the output early, as in `npx cypher key list | head -1`. The command still runs to its end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

run(process.argv).catch((error: Error) => {
  const cause = causeOf(error);
  process.stderr.write(`${cause instanceof AppError ? cause.publicMessage : cause.message}\n`);
  process.exitCode = 1;
});
