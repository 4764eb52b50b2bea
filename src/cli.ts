#!/usr/bin/env node
/** `npx cypher …`: an administrator's commands, on the same database as the server and while it runs; a group a file of cli/. */
import { Command } from 'commander';
import { addBackupCommands } from './cli/backup.ts';
import { addClientCommands } from './cli/client.ts';
import { addDoctorCommand } from './cli/doctor/command.ts';
import { idsLast } from './cli/ids_last.ts';
import { addKeyCommands } from './cli/key.ts';
import { addRestoredCommand } from './cli/restored.ts';
import { addTokenCommands } from './cli/token.ts';
import { addUserCommands } from './cli/user.ts';
import { AppError } from './lib/errors.ts';

const program = new Command('cypher').description('Administers a Cypher that runs on the same database.');
addClientCommands(program);
addTokenCommands(program);
addUserCommands(program);
addKeyCommands(program);
addBackupCommands(program);
addRestoredCommand(program);
addDoctorCommand(program);

program.parseAsync(idsLast(process.argv)).catch((error: Error) => {
  process.stderr.write(`${error instanceof AppError ? error.publicMessage : error.message}\n`);
  process.exitCode = 1;
});
