// Run by `npm test` before the tests. They need programs that npm does not install: a Redis server, a Chromium, an
// nginx. This script finds each of them, or installs it if it may do so without asking, or names it in one line.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { missingForPatroni } from './patroni_programs.ts';
import { findChromium, findNginx, findOnPath, findPgBouncer } from './programs.ts';

const mayInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version') && findOnPath('apt-get');
const missing: { name: string; aptPackage: string; otherwise: string }[] = [];
if (!process.env.REDIS_URL && !findOnPath('redis-server')) {
  missing.push({
    name: 'redis-server',
    aptPackage: 'redis-server',
    otherwise: 'set REDIS_URL to a Redis whose databases may be emptied',
  });
}
if (!findChromium()) {
  missing.push({
    name: 'Chromium',
    aptPackage: 'chromium',
    otherwise: 'set CHROMIUM to the path of a Chromium or Chrome',
  });
}
if (!findNginx()) {
  missing.push({
    name: 'nginx',
    aptPackage: 'nginx-light',
    otherwise: 'put nginx on the PATH',
  });
}

if (!findOnPath('openssl')) {
  missing.push({ name: 'openssl', aptPackage: 'openssl', otherwise: 'put openssl on the PATH' });
}
// Tests that need these are skipped where they are not to be had.
if (mayInstall && !(findOnPath('prometheus') && findOnPath('promtool')))
  missing.push({ name: 'Prometheus', aptPackage: 'prometheus', otherwise: 'go without' });
if (mayInstall && !existsSync('/usr/lib/apache2/modules/mod_auth_openidc.so')) {
  for (const aptPackage of ['apache2', 'libapache2-mod-auth-openidc'])
    missing.push({ name: 'Apache with mod_auth_openidc', aptPackage, otherwise: 'go without' });
}
if (!findPgBouncer()) {
  if (mayInstall) missing.push({ name: 'PgBouncer', aptPackage: 'pgbouncer', otherwise: 'go without' });
  else
    console.log(
      'PgBouncer is not installed: the tests with it are skipped (Debian: apt-get install pgbouncer).',
    );
}

if (missingForPatroni()) {
  for (const aptPackage of ['patroni', 'etcd-server', 'haproxy', 'postgresql'])
    if (mayInstall) missing.push({ name: 'Patroni', aptPackage, otherwise: 'go without' });
  if (!mayInstall)
    console.log(`The tests with Patroni are skipped: this machine lacks ${missingForPatroni()}.`);
}

if (missing.length > 0) {
  if (!mayInstall) {
    for (const { name, aptPackage, otherwise } of missing) {
      console.error(
        `The tests need ${name}: install it (Debian: apt-get install ${aptPackage}), or ${otherwise}.`,
      );
    }
    process.exit(1);
  }
  const packages = missing.map(({ aptPackage }) => aptPackage);
  console.log(`The tests need ${packages.join(', ')}: installing with apt-get.`);
  withoutStartingServices(() => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    execFileSync('apt-get', ['update', '-q'], { stdio: 'inherit', env });
    const flags = ['install', '-y', '-q', '--no-install-recommends'];
    execFileSync('apt-get', [...flags, ...packages], { stdio: 'inherit', env });
  });
}

/** Debian's packages start the services they bring, unless this file says no; the tests start a Redis of their own. */
function withoutStartingServices(install: () => void): void {
  const policy = '/usr/sbin/policy-rc.d';
  const isOurs = !existsSync(policy);
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    install();
  } finally {
    if (isOurs) rmSync(policy);
  }
}
