import { sessionsBy } from './mysql-open-sessions.ts';

/** As on MySQL; that clients name themselves is seen where the server has performance_schema switched on. */
export const sessionsOf = sessionsBy({
  user: 'BINARY p.USER',
  sinceMs: 'UNIX_TIMESTAMP(NOW(3)) * 1000 - GREATEST(p.TIME_MS, 0)',
});
