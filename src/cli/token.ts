/** `npx cypher token …`: inspects a token. It needs the key-encryption key. */
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import { inspectToken } from './inspect.ts';
import { onStage, print, printJson, printTable } from './stage.ts';

/** Adds the commands of the group `token`. */
export function addTokenCommands(group: Command): void {
  group
    .command('inspect [token]')
    .description('what it is, whether it is good and why not; read from standard input unless given')
    .option('--json', 'print JSON')
    .action(async (given: string | undefined, { json }: { json?: true }) => {
      // A token from standard input is not in the shell's history, and not in the list of processes.
      const token = (given ?? (await readAll(process.stdin))).trim();
      await onStage(async (stage) => {
        const inspected = await inspectToken(stage, token);
        if (json) return printJson(inspected);
        const { kind, kid, live, because, claims } = inspected;
        print(live ? 'live' : `not live: ${because.join('; ')}`);
        printTable([
          ['kind', kind],
          ['kid', kid],
          ...Object.entries(claims).map(([name, value]) => [
            name,
            name === 'iat' || name === 'exp' ? new Date(Number(value) * 1000).toISOString() : textOf(value),
          ]),
        ]);
      });
    });
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
