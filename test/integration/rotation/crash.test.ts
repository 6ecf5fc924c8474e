import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { STEPS } from '../../../shared/rotation/plan.ts';
import type { RotationDeps } from '../../../shared/rotation/steps.ts';
import { CURRENT, PENDING } from '../../../shared/secrets/port.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';

/**
 * The process dies at every call to the outside, once before and once after the call took effect; then Secrets
 * Manager calls all four steps again under the same token.
 */

type Moment = 'before' | 'after';

/** The ports of one process: from call `k` on, nothing of it reaches the outside any more. */
function mortal(deps: RotationDeps, k: number, moment: Moment, onCall: () => Promise<void>) {
  let calls = 0;
  let dead = false;
  const die = () => {
    dead = true;
    throw new Error('killed');
  };
  const wrap = <T extends object>(port: T): T =>
    new Proxy(port, {
      get(target, member, receiver) {
        const method: unknown = Reflect.get(target, member, receiver);
        if (typeof method !== 'function') return method;
        return async (...args: unknown[]) => {
          if (dead) die();
          calls += 1;
          const last = calls === k;
          if (last && moment === 'before') die();
          const result: unknown = await method.apply(target, args);
          await onCall();
          if (last) die();
          return result;
        };
      },
    });
  return {
    deps: { store: wrap(deps.store), engine: wrap(deps.engine), announcer: wrap(deps.announcer) },
    calls: () => calls,
    died: () => dead,
  };
}

describe.each(['single-user', 'alternating-users'] as const)('a rotation with %s that dies', (strategy) => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealPostgres(18);
  });
  afterAll(async () => {
    await server.stop();
  });

  /** True at every instant, whatever died. */
  async function expectAWayIn(application: Application): Promise<void> {
    if (strategy === 'alternating-users') expect(await application.works(CURRENT)).toBe(true);
    else expect((await application.works(CURRENT)) || (await application.works(PENDING))).toBe(true);
  }

  /** One process that dies at call k, then one that does not. @returns whether the first one lived to its end */
  async function rotateWithDeathAt(k: number, moment: Moment): Promise<'died' | 'lived'> {
    const application = await createApplication(server, strategy);
    const token = application.beginRotation();
    const { deps, died } = mortal(application.rig.deps, k, moment, () => expectAWayIn(application));
    try {
      for (const step of STEPS) await application.run(step, token, deps);
    } catch (error) {
      if (!died()) throw error;
    }
    await expectAWayIn(application);

    for (const step of STEPS) await application.run(step, token);

    expect((await application.rig.secrets.store.readStage(application.arn, CURRENT))?.versionId).toBe(token);
    expect(await application.works(CURRENT)).toBe(true);
    return died() ? 'died' : 'lived';
  }

  test.each<Moment>(['before', 'after'])(
    '%s any call ends well when all steps come again, and there is a way in at every instant',
    async (moment) => {
      let k = 1;
      while ((await rotateWithDeathAt(k, moment)) === 'died') k += 1;
      // Four steps read the secret, and three of them act: fewer calls would mean that the loop tried nothing.
      expect(k).toBeGreaterThan(15);
    },
    120_000,
  );
});
