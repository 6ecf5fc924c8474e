import { expect, test } from '@jest/globals';
import { inspectServer } from '../../../../shared/engines/mariadb-facts.ts';
import type { Connection } from '../../../../shared/engines/mysql-connection.ts';

/** A connection on which a server is simulated that has a plugin of somebody's own. */
const withUnknownPlugin = {
  certificate: undefined,
  run: async () => [[{ version: '11.8.3-MariaDB', readOnly: 'OFF' }], [{ name: 'of_our_own' }], []],
} as unknown as Connection;

test('a plugin that judges passwords is named, though nothing is known of its rules', async () => {
  expect((await inspectServer(withUnknownPlugin, [])).passwordPolicy).toEqual(['of_our_own judges each password']);
});
