/** The modules as an app installs them: packed, installed into an empty project, compiled against and run. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AUDIENCE, startIssuer } from './issuer.ts';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'cypher-packed-'));
  await run(process.execPath, ['src/build_modules.ts'], { cwd: root });
  const packed = await run('npm', ['pack', './dist/modules', '--silent', '--pack-destination', project], {
    cwd: root,
  });
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--silent'];
  await run('npm', ['install', ...flags, join(project, packed.stdout.trim())], { cwd: project });
});
afterAll(() => rm(project, { recursive: true, force: true }));

test('it brings `paseto` along and nothing else', async () => {
  const { stdout } = await run('npm', ['ls', '--all', '--parseable'], { cwd: project });
  expect(
    stdout
      .trim()
      .split('\n')
      .map((path) => path.slice(project.length))
      .sort(),
  ).toEqual(['', '/node_modules/cypher-idp', '/node_modules/paseto']);
});

test('an API in TypeScript compiles against it, and its mistakes do not', async () => {
  const good = `
    import { createVerifier, type RefusalCode } from 'cypher-idp/resource-server';
    import { createSession } from 'cypher-idp/browser';
    const verifier = createVerifier({ issuer: 'https://id.example.com', audience: 'https://api.example.com/' });
    const verdict = await verifier.verify({ method: 'GET', path: '/' }, ['a']);
    const code: RefusalCode | undefined = verdict.ok ? undefined : verdict.refusal.code;
    export const sub: string = verdict.ok ? verdict.access.sub : String(code);
    export const session = createSession({ issuer: 'https://id.example.com', clientId: 'a', redirectUri: 'b' });`;
  const bad = `
    import { createVerifier } from 'cypher-idp/resource-server';
    createVerifier({ issuer: 'https://id.example.com' });`;
  const compile = async (text: string, resolution: string[]) => {
    await writeFile(join(project, 'api.ts'), text);
    const flags = [
      '--strict',
      '--noEmit',
      '--target',
      'es2022',
      '--lib',
      'es2022,dom',
      '--types',
      '',
      ...resolution,
    ];
    return run(join(root, 'node_modules/.bin/tsc'), [...flags, 'api.ts'], { cwd: project }).then(
      () => '',
      ({ stdout }) => String(stdout),
    );
  };
  const node = ['--module', 'nodenext'];
  const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler'];
  for (const resolution of [node, bundler]) expect.soft(await compile(good, resolution)).toBe('');
  expect(await compile(bad, node)).toContain("'audience' is missing");
});

test('it verifies a token on this Node and on the one that the machine has', async () => {
  const issuer = await startIssuer(Date.now());
  const token = await issuer.token();
  await writeFile(
    join(project, 'api.js'),
    `import { createVerifier } from 'cypher-idp/resource-server';
     const [issuer, audience, token] = process.argv.slice(2);
     const verifier = createVerifier({ issuer, audience });
     const verdict = await verifier.verify({ method: 'GET', path: '/', authorization: 'Bearer ' + token });
     console.log(verdict.ok ? verdict.access.sub : verdict.refusal.code);`,
  );
  const path = (process.env.PATH ?? '').split(delimiter).filter((entry) => !entry.includes('node_modules'));
  for (const node of [process.execPath, 'node']) {
    const env = { ...process.env, PATH: path.join(delimiter) };
    const { stdout, stderr } = await run(node, ['api.js', issuer.url, AUDIENCE, token], {
      cwd: project,
      env,
    });
    expect.soft([stdout.trim(), stderr]).toEqual(['ada', '']);
  }
  await issuer.close();
});
