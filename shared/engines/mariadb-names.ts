import { namesOf } from './mysql-names.ts';

/** https://mariadb.com/docs/server/reference/sql-structure/sql-language-structure/identifier-names */
const MAX_NAME_LENGTH = 128;

export const { requireUserName, requireNames, requirePair, requireAdministered } = namesOf('MariaDB', MAX_NAME_LENGTH);
