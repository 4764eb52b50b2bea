/** `npx cypher audit …`: the audit log. */
import type { Command } from 'commander';
import { archiveAudit } from '../audit/archive.ts';
import { onStage, print } from './stage.ts';

/** Adds the commands of the group `audit`. */
export function addAuditCommands(command: Command): void {
  command
    .command('archive <file>')
    .description('move events that have outlived their retention to a new file')
    .option('--before <date>', 'only those from before this date, such as 2026-01-31')
    .action((file: string, { before }: { before?: string }) =>
      onStage(async ({ database, audit }) => {
        const archived = await archiveAudit({ database, audit }, file, dateOf(before));
        if (!archived) return print('No event is old enough. No file was made.');
        print(`${file}: ${archived.events} events, of the ids ${archived.firstId} to ${archived.lastId}.`);
        print(`SHA-256: ${archived.sha256}`);
      }),
    );
}

function dateOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const date = new Date(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(date.getTime()))
    throw new Error(`"${text}" must be a date such as 2026-01-31 or 2026-01-31T12:00:00Z`);
  return date;
}
