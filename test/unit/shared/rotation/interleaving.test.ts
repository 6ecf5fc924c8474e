import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { STEPS } from '../../../../shared/rotation/plan.ts';
import { CURRENT, PENDING } from '../../../../shared/secrets/port.ts';
import { createFakeDatabase } from '../../../sandbox/fakes/database-engine.ts';
import { createRig, likePostgres } from './rig.ts';

/** Several invocations at once, with every call to a port in an order that fast-check picks and can replay. */

const base = { engine: 'postgres', host: 'db.example' };

function begin(strategy: 'single-user' | 'alternating-users') {
  const database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old', rights: ['read'] });
  const rig = createRig(likePostgres(database));
  const masterarn = rig.secrets.create('admin', JSON.stringify({ ...base, username: 'admin', password: 'a' }), {
    'rekey:admin-for': 'app/db',
  });
  const value = { ...base, username: 'app', password: 'old', ...(strategy === 'alternating-users' && { masterarn }) };
  const arn = rig.secrets.create('app/db', JSON.stringify(value));
  const token = rig.secrets.beginRotation(arn);

  const logsIn = async (stage: string) => {
    const staged = await rig.secrets.store.readStage(arn, stage);
    if (!staged) return false;
    const { username, password } = JSON.parse(staged.value.expose());
    return database.users.get(username)?.passwords.includes(password) ?? false;
  };
  const expectAWayIn = async () => {
    const current = await logsIn(CURRENT);
    expect(strategy === 'alternating-users' ? current : current || (await logsIn(PENDING))).toBe(true);
  };

  /** The port, each call of which waits for its turn and is followed by the check. */
  const inTurn = <T extends object>(port: T, scheduler: fc.Scheduler): T =>
    new Proxy(port, {
      get(target, member) {
        const method: unknown = Reflect.get(target, member);
        if (typeof method === 'object' && method !== null) return inTurn(method, scheduler);
        if (typeof method !== 'function') return method;
        return async (...args: unknown[]) => {
          await scheduler.schedule(Promise.resolve(), String(member));
          const result: unknown = await method.apply(target, args);
          await expectAWayIn();
          return result;
        };
      },
    });

  /** One invocation after the other, as Secrets Manager makes them; it goes on after a failure, as a late one would. */
  const deliver = async (scheduler: fc.Scheduler) => {
    const { store, engine } = rig.deps;
    const over = { store: inTurn(store, scheduler), engine: inTurn(engine, scheduler) };
    for (const step of STEPS) {
      try {
        await rig.run(step, arn, token, over);
      } catch (error) {
        if (!(error instanceof RekeyError)) throw error;
      }
    }
  };
  return { rig, arn, token, deliver, logsIn, value };
}

describe.each(['single-user', 'alternating-users'] as const)('invocations of %s beside each other', (strategy) => {
  test('two whole deliveries at once end with this version current, and there is a way in at every instant', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (scheduler) => {
        const { rig, arn, token, deliver, logsIn } = begin(strategy);
        await scheduler.waitFor(Promise.all([deliver(scheduler), deliver(scheduler)]));
        for (const step of STEPS) await rig.run(step, arn, token);
        expect((await rig.secrets.store.readStage(arn, CURRENT))?.versionId).toBe(token);
        expect(await logsIn(CURRENT)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a person beside an invocation', () => {
  test('a value put by hand in the middle never leaves AWSCURRENT with a login that is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (scheduler) => {
        const { rig, arn, deliver, logsIn, value } = begin('alternating-users');
        const put = scheduler.schedule(Promise.resolve()).then(() => {
          rig.secrets.put(arn, JSON.stringify({ ...value, note: 'by hand' }));
        });
        await scheduler.waitFor(Promise.all([deliver(scheduler), put]));
        expect(await logsIn(CURRENT)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
