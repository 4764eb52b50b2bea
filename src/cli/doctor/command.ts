/** `npx cypher doctor`: says what is wrong with this installation, and what to change. */
import type { Command } from 'commander';
import { print, printJson } from '../stage.ts';
import { diagnose } from './doctor.ts';

const marks = { ok: 'ok     ', warning: 'warning', fault: 'FAULT  ' };

/** Defines the command `doctor`. Its exit code is 1 if there is a fault. */
export function describeDoctor(doctor: Command): void {
  doctor.option('--json', 'print JSON').action(async ({ json }: { json?: true }) => {
    const findings = await diagnose();
    if (findings.some(({ level }) => level === 'fault')) process.exitCode = 1;
    if (json) return printJson(findings);
    for (const { about, level, found, change } of findings) {
      print(`${marks[level]}  ${about}: ${found}`);
      if (change !== undefined) print(`         → ${change}`);
    }
  });
}
