import { createConnection } from 'mysql2/promise';
import type { FloorDriver } from './driver.ts';

/** MySQL; and MariaDB but for how a user changes its own password. Both take the host `%` where none is said. */
export const driver: FloorDriver = {
  async open({ host, port, dbname, username, password }, ca) {
    const connection = await createConnection({
      host,
      port,
      user: username,
      password,
      ...(dbname === undefined ? {} : { database: dbname }),
      ssl: { ca, verifyIdentity: true },
    });
    return {
      run: async (statement) => void (await connection.query(statement)),
      close: () => connection.end(),
    };
  },
  change(strategy, username, password) {
    const keep = strategy === 'dual-password' ? ' RETAIN CURRENT PASSWORD' : '';
    const who = strategy === 'alternating-users' ? quote(username) : 'CURRENT_USER()';
    return `ALTER USER ${who} IDENTIFIED BY ${quote(password)}${keep}`;
  },
  look: 'SELECT CURRENT_USER()',
};

export const quote = (text: string) => `'${text.replace(/['\\]/g, '\\$&')}'`;
