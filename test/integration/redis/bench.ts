import type { Credentials } from '../../../shared/engines/port.ts';
import { createRedisEngine, type RedisEngine } from '../../../shared/engines/redis.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { type RedisOptions, type RedisServer, startRedis } from '../../sandbox/redis.ts';

export const soon = (milliseconds = 30_000) => deadlineIn(milliseconds, systemClock);
export const secret = (text: string) => new SecretValue(text);
export const ACCEPTED = { kind: 'accepted' };
export const WRONG = { kind: 'refused', reason: 'password' };

/** A real server, the adapter in front of it, and short ways to say what a test does. */
export interface Bench {
  readonly server: RedisServer;
  readonly engine: RedisEngine;
  /** May do everything. */
  readonly admin: Credentials;
  as(username: string, password: string, more?: Partial<Credentials>): Credentials;
  /** A user with this password, and no right but those given. */
  addUser(name: string, password: string, ...rules: string[]): Promise<void>;
  setPassword(username: string, password: string, acting?: Credentials): Promise<void>;
  addPassword(username: string, present: string, password: string, acting?: Credentials): Promise<string>;
  /** Those of these passwords that the server accepts for the user. */
  accepted(username: string, ...passwords: string[]): Promise<string[]>;
}

export async function startBench(options: RedisOptions): Promise<Bench> {
  const server = await startRedis(options);
  const engine = createRedisEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
  const { host, port } = server;
  const as: Bench['as'] = (username, password, more) => ({
    host,
    port,
    database: '0',
    username,
    password: secret(password),
    ...(options.tls === 'off' && { transport: { kind: 'plaintext' } }),
    ...more,
  });
  const admin = as(server.superuser.username, server.superuser.password);
  return {
    server,
    engine,
    admin,
    as,
    async addUser(name, password, ...rules) {
      await server.run('ACL', 'SETUSER', name, 'reset', 'on', `>${password}`, ...rules);
    },
    setPassword: (username, password, acting = admin) =>
      engine.setPassword({ acting, username, password: secret(password) }, soon()),
    addPassword: (username, present, password, acting = admin) =>
      engine.dualPassword.addPassword(
        { acting, username, password: secret(password), present: as(username, present) },
        async () => true,
        soon(),
      ),
    async accepted(username, ...passwords) {
      const found = [];
      for (const password of passwords)
        if ((await engine.login(as(username, password), soon())).kind === 'accepted') found.push(password);
      return found;
    },
  };
}
