import { Client, escapeIdentifier, escapeLiteral } from 'pg';
import type { FloorDriver } from './driver.ts';

export const driver: FloorDriver = {
  async open({ host, port, dbname = 'postgres', username, password }, ca) {
    const client = new Client({ host, port, database: dbname, user: username, password, ssl: { ca, host } });
    await client.connect();
    return {
      run: async (statement) => void (await client.query(statement)),
      close: () => client.end(),
    };
  },
  change: (_strategy, username, password) =>
    `ALTER ROLE ${escapeIdentifier(username)} PASSWORD ${escapeLiteral(password)}`,
  look: 'SELECT session_user',
};
