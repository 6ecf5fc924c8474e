import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';

test('a PostgreSQL of the tests ends with the process that started it, even one that is killed', async () => {
  const module = JSON.stringify(new URL('../../sandbox/postgres.ts', import.meta.url));
  const script = `
    const { startPostgres } = await import(${module});
    const { port, caFile } = await startPostgres({ version: 18 });
    process.stdout.write(JSON.stringify({ port, caFile }));`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await once(child.stdout, 'data');
  const { port, caFile } = JSON.parse(String(output));
  expect(existsSync(caFile)).toBe(true);

  child.kill('SIGKILL');

  const giveUpAt = Date.now() + 20_000;
  while (existsSync(dirname(caFile)) && Date.now() < giveUpAt) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(existsSync(dirname(caFile))).toBe(false);
  const socket = connect(port, '127.0.0.1');
  const [error] = await once(socket, 'error');
  expect(error).toHaveProperty('code', 'ECONNREFUSED');
});

test('the PostgreSQL servers that come with npm are installed', () => {
  expect(POSTGRES_VERSIONS.filter(postgresIsInstalled)).toEqual(expect.arrayContaining([16, 17, 18]));
});

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('the PostgreSQL %s of the tests', (version) => {
  test('is a real server of that version, over TLS, with an administrator who is no superuser', async () => {
    const server = await startPostgres({ version });
    try {
      const client = await server.connect(server.admin);
      const { rows } = await client.query(`
        SELECT current_setting('server_version_num')::int / 10000 AS version, ssl,
          rolsuper AS "isSuperuser", rolcreaterole AS "mayCreateRoles"
        FROM pg_stat_ssl, pg_roles WHERE pid = pg_backend_pid() AND rolname = current_user`);
      await client.end();

      expect(rows).toEqual([{ version, ssl: true, isSuperuser: false, mayCreateRoles: true }]);
    } finally {
      await server.stop();
    }
  });

  test('leaves nothing on disk and nothing listening once it stopped', async () => {
    const server = await startPostgres({ version });
    await server.stop();

    expect(existsSync(dirname(server.caFile))).toBe(false);
    await expect(server.connect(server.admin)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
