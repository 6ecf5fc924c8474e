import type { Credentials } from '../../../shared/engines/port.ts';
import { CURRENT, PENDING, PREVIOUS, STANDBY } from '../../../shared/secrets/port.ts';
import type { Call } from '../faulty-ports.ts';
import { BYSTANDER, currentVersion, loginIn, logsIn, type Names, refill, stagedLogin, type World } from './world.ts';

/** A promise of docs/reliability.md that was broken, by its number there. */
export class Broken extends Error {
  constructor(invariant: string, what: string) {
    super(`${invariant}: ${what}`);
  }
}

/** Watches one world, and judges it after every call. */
export interface Watch {
  /**
   * @param changed whether anything can be another way than before this call
   * @throws Broken
   */
  check(call: Call, changed?: boolean): void;
  /** RotateSecret made a version, or retire may make one. */
  expectVersion(): void;
  /** How long AWSCURRENT was refused in all, in milliseconds. */
  refusedMs(): number;
  /** Since when it is. */
  refusedSinceMs(): number | undefined;
  /** As that of the world. */
  save(): () => void;
  /** As that of the world, after so many calls; without times. */
  state(name: Names, calls: number): unknown;
}

/** Calls after which a secret or the database can be another way. Most calls only read: judging them too takes longer than they do. */
const WRITES =
  /^(store\.(write|withdraw|move)|engine\.set|alternatingUsers\.(prepare|disable)|userPair\.change|dualPassword\.(add|discard))/;
export const mayChange = ({ name }: Call): boolean => WRITES.test(name);

const APPLICATION = ['app', 'app_clone', 'app_peer'];
/** Calls between the login that proves a password and the move of AWSCURRENT, when the move comes late. */
const LATE_CALLS = 4;

/** @param lateCalls as many may come between the login and the move that it allows: more, where others call meanwhile */
export function watch(world: World, lateCalls = LATE_CALLS): Watch {
  const { estate, secrets, database, arn, clock } = world;
  const untouched = untouchedOf(world);
  const host = stagedLogin(world, CURRENT)?.host;
  /** What users had before Rekey came, as a restored database has it. */
  const inherited = new Set(APPLICATION.flatMap((name) => database.users.get(name)?.passwords ?? []));
  let current = currentVersion(world);
  let versionsExpected = secrets.secret(arn).versions.size;
  let refusedSinceMs: number | undefined;
  let refusedMs = 0;
  /** Password → the call that last showed that it logs in. */
  const proved = new Map<string, number>();

  function checkWayIn(works: boolean): void {
    const waysIn = (stages: readonly string[]) => stages.some((stage) => logsIn(world, stagedLogin(world, stage)));
    if (estate.restored) {
      // Nothing works until the reset; from then on what the reset set, and that is stored.
      const users = [...APPLICATION].flatMap((name) => database.users.get(name) ?? []);
      const reset = users.some(({ passwords }) => passwords.some((password) => !inherited.has(password)));
      if (reset && !waysIn([CURRENT, PENDING, PREVIOUS, STANDBY])) throw new Broken('I1', 'no stored login works');
    } else if (estate.strategy === 'single-user') {
      if (!works && !waysIn([PENDING])) throw new Broken('I1', 'neither AWSCURRENT nor AWSPENDING logs in');
    } else if (!works) throw new Broken('I5', 'AWSCURRENT does not log in');
  }

  return {
    expectVersion() {
      versionsExpected += 1;
    },
    refusedMs: () => refusedMs,
    refusedSinceMs: () => refusedSinceMs,
    state(name, calls) {
      const lately = [...proved].filter(([, number]) => calls - number <= lateCalls);
      const missing = versionsExpected - secrets.secret(arn).versions.size;
      return [name(current), missing, lately.map(([password, number]) => [name(password), calls - number])];
    },
    save() {
      const saved = { current, versionsExpected, refusedSinceMs, refusedMs, proved: [...proved] };
      return () => {
        ({ current, versionsExpected, refusedSinceMs, refusedMs } = saved);
        refill(proved, saved.proved);
      };
    },

    check(call, changed = mayChange(call)) {
      const { number, name, args } = call;
      // I8
      for (const each of hostsIn(args)) if (each !== host) throw new Broken('I8', `${name} went to the host ${each}`);

      // I2: what AWSCURRENT moves to has just logged in.
      if (name === 'engine.login') {
        const { username, password, host, port } = args[0] as Credentials;
        const tried = { username, password: password.expose(), host, port };
        if (logsIn(world, tried)) proved.set(tried.password, number);
      }
      if (!changed) return;

      const { versions } = secrets.secret(arn);
      const login = stagedLogin(world, CURRENT);
      const works = logsIn(world, login);
      checkWayIn(works);
      if (works) {
        if (refusedSinceMs !== undefined) refusedMs += clock.now() - refusedSinceMs;
        refusedSinceMs = undefined;
      } else refusedSinceMs ??= clock.now();

      const now = currentVersion(world);
      if (now !== current) {
        if (!works) throw new Broken('I2', 'AWSCURRENT moved to a login that is refused');
        if (number - (proved.get(login?.password ?? '') ?? -Infinity) > lateCalls)
          throw new Broken('I2', 'AWSCURRENT moved to a login that was not just tried');
        current = now;
      }

      // I6: whoever is current can do what the application needs, and no more.
      const rights = database.users.get(login?.username ?? '')?.rights;
      if (!rights || rights.size !== world.rights.size || ![...world.rights].every((right) => rights.has(right)))
        throw new Broken('I6', `"${login?.username}" is current, and its rights are not those of the application`);

      // I3: every password in the database is stored.
      const stored = new Set<string>();
      for (const { value } of versions.values()) if (value !== undefined) stored.add(loginIn(value).password);
      for (const user of APPLICATION)
        for (const password of database.users.get(user)?.passwords ?? [])
          if (!stored.has(password) && !inherited.has(password))
            throw new Broken('I3', `"${user}" has a password that is not stored`);

      // I8, I9: no other user or secret is touched.
      const touched = untouched();
      if (touched !== undefined) throw new Broken(touched.invariant, touched.what);

      // I10: no version but those that RotateSecret made, and one for each standby.
      if (versions.size > versionsExpected) throw new Broken('I10', `there are ${versions.size} versions`);
    },
  };
}

/** @returns what tells whether anything was changed that is no business of this secret's */
function untouchedOf({ database, secrets, adminArn }: World) {
  const stateOf = (name: string) => {
    const user = database.users.get(name);
    return user && [...user.passwords, user.mayLogIn, ...user.rights].join();
  };
  const adminSecret = () => {
    const versions = adminArn ? [...secrets.secret(adminArn).versions.values()] : [];
    return versions.map(({ value, stages }) => [value, ...stages].join()).join();
  };
  const bystander = stateOf(BYSTANDER);
  const admin = stateOf('admin');
  const secret = adminSecret();
  return () => {
    if (stateOf(BYSTANDER) !== bystander) return { invariant: 'I8', what: 'another user was changed' };
    if (stateOf('admin') !== admin) return { invariant: 'I8', what: 'the administrator was changed' };
    for (const name of database.users.keys())
      if (![...APPLICATION, BYSTANDER, 'admin'].includes(name))
        return { invariant: 'I8', what: `the user "${name}" was made` };
    if (adminSecret() !== secret) return { invariant: 'I9', what: "the administrator's secret was written" };
    return undefined;
  };
}

/** Wherever a call's arguments say that something is at a host. */
function* hostsIn(args: readonly unknown[]): Iterable<unknown> {
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) continue;
    if ('host' in arg) yield arg.host;
    for (const part of ['acting', 'admin', 'present', 'kept'])
      if (part in arg) yield ((arg as Record<string, unknown>)[part] as { host: unknown }).host;
  }
}
