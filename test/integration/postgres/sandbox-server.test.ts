import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { POSTGRES_VERSIONS, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';

describe.each(POSTGRES_VERSIONS)('the PostgreSQL %i of the tests', (version) => {
  test('is installed', () => {
    expect(postgresIsInstalled(version)).toBe(true);
  });

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
