import { expect, test } from '@jest/globals';
import { inspectServer } from '../../../../shared/engines/mariadb-facts.ts';
import type { Connection } from '../../../../shared/engines/mysql-connection.ts';

/** A connection on which a server with cracklib is simulated: the servers of the tests have no such plugin. */
const withCracklib = {
  certificate: undefined,
  run: async () => [
    [{ version: '11.8.3-MariaDB', readOnly: 'OFF' }],
    [{ name: 'cracklib_password_check' }, { name: 'of_our_own' }],
    [{ Variable_name: 'cracklib_password_check_dictionary', Value: '/var/cache/cracklib/cracklib_dict' }],
  ],
} as unknown as Connection;

test('the plugins that judge passwords are named, those too that say nothing of their rules', async () => {
  expect((await inspectServer(withCracklib, [])).passwordPolicy).toEqual([
    'cracklib_password_check refuses what it finds in its dictionary, or can guess from it',
    'of_our_own judges each password',
    'cracklib_password_check_dictionary is /var/cache/cracklib/cracklib_dict',
  ]);
});
