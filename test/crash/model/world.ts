import { randomUUID } from 'node:crypto';
import type { Credentials } from '../../../shared/engines/port.ts';
import type { Clock } from '../../../shared/operations/clock.ts';
import type { RekeyEvent } from '../../../shared/operations/events.ts';
import type { Log } from '../../../shared/operations/log.ts';
import type { RotationDeps } from '../../../shared/rotation/steps.ts';
import { CURRENT, STANDBY } from '../../../shared/secrets/port.ts';
import { createMemorySecrets, type MemorySecrets } from '../../contract/fakes/secret-store.ts';
import { createMemoryTopology } from '../../contract/fakes/topology.ts';
import { createFakeDatabase, type FakeDatabase, type FakeUser } from '../../sandbox/fakes/database-engine.ts';
import type { Estate } from './estates.ts';

/** What a rotation and the retirement after it act on, all of it in memory: what is left when a process dies. */
export interface World {
  readonly estate: Estate;
  readonly secrets: MemorySecrets;
  readonly database: FakeDatabase;
  readonly arn: string;
  readonly adminArn: string | undefined;
  /** The ports as they are without any fault, and what does not reach the outside. */
  readonly deps: Omit<RotationDeps, 'changedAt'>;
  readonly clock: VirtualClock;
  /** What was announced, and what was written down. */
  readonly events: readonly RekeyEvent[];
  readonly lines: readonly unknown[];
  /** Calls back at every event. */
  announced(listener: (event: RekeyEvent) => void): void;
  /** Which rights the application needs. */
  readonly rights: ReadonlySet<string>;
  /** @returns brings all of it back to how it is now, as often as it is called */
  save(): () => void;
  /** How it is, as plain data; what was made by chance has names. */
  state(name: Names): unknown;
}

/** Names what is made by chance by the order in which it is met, so that it has the same name in two runs that are alike. */
export type Names = (made: string | undefined) => number | undefined;

export function createNames(): Names {
  const names = new Map<string | undefined, number | undefined>([[undefined, undefined]]);
  return (made) => {
    if (!names.has(made)) names.set(made, names.size);
    return names.get(made);
  };
}

export interface VirtualClock extends Clock {
  advance(milliseconds: number): void;
}

const HOST = 'db.c1example.eu-central-1.rds.amazonaws.com';
export const RIGHTS = ['read', 'write', 'call'] as const;
/** Belongs to another application, and is nobody's business. */
export const BYSTANDER = 'bystander';

export function createWorld(estate: Estate): World {
  const { rules, administrator, restored = false } = estate;
  const clock = createClock();
  const database = createFakeDatabase(rules.engines[0]);
  const secrets = createMemorySecrets(clock.now);
  const topology = createMemoryTopology();
  const address = { engine: rules.engines[0], host: HOST, port: rules.defaultPort };

  const known = (password: string) => (restored ? `yesterday's ${password}` : password);
  database.addUser('app', { password: known('first-canary'), rights: RIGHTS });
  database.addUser(BYSTANDER, { password: 'bystander-canary', rights: ['read'] });
  database.addUser('admin', { password: 'admin-canary', administers: true });
  if (estate.powerless) database.powerless.add('app');
  if (estate.strategy === 'user-pair')
    database.addUser('app_peer', { password: known('standby-canary'), rights: RIGHTS });

  const login = { username: 'admin', password: 'admin-canary' };
  const adminArn =
    administrator &&
    secrets.create(
      'admin',
      JSON.stringify(administrator === 'rds' ? login : { ...address, ...login }),
      administrator === 'rds' ? { 'aws:rds:primaryDBInstanceArn': INSTANCE_ARN } : { 'rekey:admin-for': 'app/db' },
    );
  if (administrator === 'rds')
    topology.add(
      { kind: 'instance', id: 'db' },
      {
        arn: INSTANCE_ARN,
        engine: 'postgres',
        endpoints: [{ host: HOST, port: rules.defaultPort }],
        partOf: undefined,
      },
    );

  const value = { ...address, username: 'app', password: 'first-canary', ...(adminArn && { masterarn: adminArn }) };
  const arn = secrets.create('app/db', JSON.stringify(value), { ...estate.tags, 'rekey:on-failure': 'move-back' });
  if (estate.strategy === 'user-pair')
    secrets.secret(arn).versions.set(randomUUID(), {
      value: JSON.stringify({ ...value, username: 'app_peer', password: 'standby-canary' }),
      createdAtMs: clock.now(),
      stages: new Set([STANDBY]),
    });

  const events: RekeyEvent[] = [];
  const lines: unknown[] = [];
  let heard: (event: RekeyEvent) => void = () => {};
  const log: Log = {
    info: (message, fields) => void lines.push(message, fields),
    warn: (message, fields) => void lines.push(message, fields),
  };
  return {
    estate,
    secrets,
    database,
    arn,
    adminArn,
    clock,
    events,
    lines,
    announced(listener) {
      heard = listener;
    },
    rights: new Set(RIGHTS),
    save() {
      const arns = adminArn === undefined ? [arn] : [arn, adminArn];
      const versions = arns.map((each) => copyOf(secrets.secret(each).versions));
      const users = [...database.users].map(([name, user]) => [name, copyOfUser(user)] as const);
      const told = { events: [...events], lines: [...lines], nowMs: clock.now() };
      return () => {
        for (const [index, each] of arns.entries())
          refill(secrets.secret(each).versions, copyOf(versions[index] ?? new Map()));
        refill(
          database.users,
          users.map(([name, user]) => [name, copyOfUser(user)]),
        );
        events.splice(0, Number.POSITIVE_INFINITY, ...told.events);
        lines.splice(0, Number.POSITIVE_INFINITY, ...told.lines);
        clock.advance(told.nowMs - clock.now());
        database.calls.length = 0;
      };
    },
    state(name) {
      const { versions } = secrets.secret(arn);
      const times = [...versions.values()].map(({ createdAtMs }) => createdAtMs).sort((one, two) => one - two);
      return [
        [...versions].map(([id, { value, stages, createdAtMs }]) => {
          const password = value && loginIn(value).password;
          const rest = value?.replace(JSON.stringify(password), '');
          return [name(id), name(password), rest, [...stages].sort(), times.indexOf(createdAtMs)];
        }),
        [...database.users].map(([user, { passwords, rights, mayLogIn, expired }]) => [
          user,
          passwords.map(name),
          [...rights].sort(),
          mayLogIn,
          expired,
        ]),
      ];
    },
    deps: {
      store: secrets.store,
      engine: estate.engine(database.engine),
      rules,
      topology,
      hosts: { allowLoopback: false, allowedSuffixes: [], authorities: new Map() },
      clock,
      log,
      announcer: {
        async announce(event) {
          heard(event);
          return events.push(event) > 0;
        },
      },
    },
  };
}

export type Versions = ReturnType<MemorySecrets['secret']>['versions'];

export const copyOf = (versions: Versions): Versions =>
  new Map([...versions].map(([id, version]) => [id, { ...version, stages: new Set(version.stages) }]));

const copyOfUser = (user: FakeUser): FakeUser => ({ ...user, rights: new Set(user.rights) });

/** Whoever holds the map goes on seeing what is in it. */
export function refill<Key, Value>(map: Map<Key, Value>, entries: Iterable<readonly [Key, Value]>): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}

const INSTANCE_ARN = 'arn:aws:rds:eu-central-1:123456789012:db:db';

function createClock(): VirtualClock {
  let nowMs = Date.UTC(2027, 0, 1);
  const advance = (milliseconds: number) => {
    nowMs += milliseconds;
  };
  return { now: () => nowMs, sleep: async (milliseconds) => advance(milliseconds), advance };
}

export type StoredLogin = Pick<Credentials, 'host' | 'port'> & { readonly username: string; readonly password: string };

const parsed = new Map<string, StoredLogin>();

/** A stored value as a login. */
export function loginIn(value: string): StoredLogin {
  const known = parsed.get(value);
  if (known) return known;
  const login = JSON.parse(value) as StoredLogin;
  // One run needs a handful; a map that grew for ever would be a leak of the test.
  if (parsed.size > 1_000) parsed.clear();
  parsed.set(value, login);
  return login;
}

/** The login under a label. */
export function stagedLogin({ secrets, arn }: World, stage: string): StoredLogin | undefined {
  for (const { stages, value } of secrets.secret(arn).versions.values())
    if (stages.has(stage)) return value === undefined ? undefined : loginIn(value);
  return undefined;
}

export function logsIn({ database }: World, login: StoredLogin | undefined): boolean {
  const user = login && database.users.get(login.username);
  if (!user?.mayLogIn || user.expired) return false;
  return user.passwords.includes(login?.password ?? '');
}

export const versionUnder = ({ secrets, arn }: World, stage: string): string | undefined =>
  [...secrets.secret(arn).versions].find(([, { stages }]) => stages.has(stage))?.[0];

export const currentVersion = (world: World) => versionUnder(world, CURRENT) ?? '';
