import type { FloorDriver } from './driver.ts';
import { driver as mysql, quote } from './mysql.ts';

/** MariaDB asks for CREATE USER before any ALTER USER; a user's own password is changed by SET PASSWORD. */
export const driver: FloorDriver = {
  ...mysql,
  change: (strategy, username, password) =>
    strategy === 'alternating-users'
      ? mysql.change(strategy, username, password)
      : `SET PASSWORD = PASSWORD(${quote(password)})`,
};
