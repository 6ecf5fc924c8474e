import { createClient } from '@redis/client';
import type { FloorDriver } from './driver.ts';

export const driver: FloorDriver = {
  async open({ host, port, username, password }, ca) {
    const client = createClient({
      username,
      password,
      socket: { host, port, tls: true, ca, reconnectStrategy: false },
    });
    client.on('error', () => {});
    await client.connect();
    return {
      run: async (statement) => void (await client.sendCommand(statement.split(' '))),
      close: () => client.close(),
    };
  },
  change: (strategy, username, password) =>
    `ACL SETUSER ${username}${strategy === 'dual-password' ? '' : ' resetpass'} >${password}`,
  look: 'ACL WHOAMI',
};
