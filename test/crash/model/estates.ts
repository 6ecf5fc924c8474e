import type { DatabaseEngine } from '../../../shared/engines/port.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { type EngineRules, MYSQL, POSTGRES, REDIS } from '../../../shared/secrets/engine-rules.ts';
import type { FakeDatabase } from '../../sandbox/fakes/database-engine.ts';

/** A kind of database with the rights, the secret and the tags that one application has there. */
export interface Estate {
  readonly name: string;
  readonly strategy: StrategyName;
  readonly rules: EngineRules;
  /** What this kind of database knows of what the database in memory knows. */
  engine(known: FakeDatabase['engine']): DatabaseEngine;
  readonly tags: Readonly<Record<string, string>>;
  /** Whose secret `masterarn` names: one with an address, or one that RDS made, which has none. */
  readonly administrator?: 'named' | 'rds';
  /** The user may not change its own password. */
  readonly powerless?: boolean;
  /** The server was restored from a snapshot: it knows none of the stored passwords, and the reset is accepted. */
  readonly restored?: boolean;
}

const strategy = (name: StrategyName) => ({ 'rekey:strategy': name });
const RESET = { 'rekey:accept': 'admin-reset' };

const postgres: Estate['engine'] = ({ dualPassword: _, ...engine }) => engine;
const redis: Estate['engine'] = ({ alternatingUsers: _, userPair: __, ...engine }) => engine;
/** MySQL lets nobody but an administrator see what both users may do. */
const mysql: Estate['engine'] = (engine) => ({
  ...engine,
  alternatingUsers: { ...engine.alternatingUsers, observer: 'administrator' },
});
const withoutSecondPassword: Estate['engine'] = (engine) => ({
  ...engine,
  dualPassword: {
    ...engine.dualPassword,
    mayKeepOld: async (user, deadline) => {
      await engine.dualPassword.mayKeepOld(user, deadline);
      return false;
    },
  },
});

export const ESTATES: readonly Estate[] = [
  { name: 'a user of its own', strategy: 'single-user', rules: POSTGRES, engine: postgres, tags: {} },
  {
    name: 'a user that only the administrator may change',
    strategy: 'single-user',
    rules: POSTGRES,
    engine: postgres,
    tags: strategy('single-user'),
    administrator: 'named',
    powerless: true,
  },
  {
    name: 'a single user of a restored database',
    strategy: 'single-user',
    rules: POSTGRES,
    engine: postgres,
    tags: { ...strategy('single-user'), ...RESET },
    administrator: 'named',
    restored: true,
  },
  {
    name: 'auto, where nobody may have a second password',
    strategy: 'single-user',
    rules: MYSQL,
    engine: withoutSecondPassword,
    tags: {},
  },
  {
    name: 'two users that see their own rights',
    strategy: 'alternating-users',
    rules: POSTGRES,
    engine: postgres,
    tags: {},
    administrator: 'named',
  },
  {
    name: 'two users whose rights the administrator sees',
    strategy: 'alternating-users',
    rules: MYSQL,
    engine: mysql,
    tags: {},
    administrator: 'named',
  },
  {
    name: 'two users and an administrator of RDS',
    strategy: 'alternating-users',
    rules: POSTGRES,
    engine: postgres,
    tags: {},
    administrator: 'rds',
  },
  {
    name: 'two users of a restored database',
    strategy: 'alternating-users',
    rules: POSTGRES,
    engine: postgres,
    tags: RESET,
    administrator: 'named',
    restored: true,
  },
  {
    name: 'a pair without an administrator',
    strategy: 'user-pair',
    rules: POSTGRES,
    engine: postgres,
    tags: strategy('user-pair'),
  },
  {
    name: 'a pair of a restored database',
    strategy: 'user-pair',
    rules: MYSQL,
    engine: mysql,
    tags: { ...strategy('user-pair'), ...RESET },
    administrator: 'named',
    restored: true,
  },
  {
    name: 'a user that may have two passwords',
    strategy: 'dual-password',
    rules: MYSQL,
    engine: mysql,
    tags: {},
  },
  {
    name: 'two passwords that the administrator gives',
    strategy: 'dual-password',
    rules: REDIS,
    engine: redis,
    tags: RESET,
    administrator: 'named',
  },
  {
    name: 'two passwords of a restored database',
    strategy: 'dual-password',
    rules: REDIS,
    engine: redis,
    tags: { ...strategy('dual-password'), ...RESET },
    administrator: 'named',
    restored: true,
  },
];
