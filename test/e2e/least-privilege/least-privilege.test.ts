import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Right } from '../../sandbox/aws/iam/index.ts';
import { START_MS } from '../../sandbox/environment.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { UNUSED } from './explained.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { KEY_ARN, startWorld, type World } from './world.ts';

const SCENARIO_MS = 90_000;

type Key = string;
const keyOf = ({ source, sid, action, resource }: Right): Key => JSON.stringify([source, sid, action, resource]);

/** Exactly the rights that Rekey is deployed with, at work: none is missing, and none is unused without a reason. */
describe('the rights that Rekey is deployed with', () => {
  let world: World;
  /** Right → the scenarios that used it; `undefined` for what the deployment itself did. */
  const usedBy = new Map<Key, (Scenario | undefined)[]>();
  beforeAll(async () => {
    world = await startWorld();
    await measure(undefined, async () => undefined);
  }, START_MS);
  afterAll(() => world.close());
  beforeEach(() => world.clear());

  const rights = () => world.aws.iam.rights().filter(({ source }) => isOfRekey(source));
  const usesNow = () => new Map(rights().map((right) => [keyOf(right), right.uses]));

  async function measure(by: Scenario | undefined, run: () => Promise<unknown>): Promise<void> {
    const before = by === undefined ? new Map<Key, number>() : usesNow();
    await run();
    for (const [key, uses] of usesNow())
      if (uses > (before.get(key) ?? 0)) usedBy.set(key, [...(usedBy.get(key) ?? []), by]);
  }

  test.each(SCENARIOS)(
    'are enough: $name',
    async (scenario) => {
      await measure(scenario, async () => {
        const refused = world.aws.iam.refusals.length;
        const isSo = await scenario.start(world);
        await eventually(scenario.name, isSo, SCENARIO_MS);
        const actions = world.aws.iam.refusals.slice(refused).map(({ action }) => action);
        expect(actions.filter((action) => !scenario.refused?.includes(action))).toEqual([]);
      });
    },
    SCENARIO_MS + 30_000,
  );

  test('are all used, but for those with a reason', () => {
    const unused = rights().filter((right) => !usedBy.has(keyOf(right)));
    expect([...new Set(unused.map(nameOf))].sort()).toEqual(Object.keys(UNUSED).sort());
  });
});

/** Those of the tests' own hands and ears are none of Rekey's. */
const isOfRekey = (source: string) =>
  !/AdministratorAccess|role\/sandbox$|heard-by-the-tests$|:people$/.test(source) && !source.endsWith(KEY_ARN);

/** The same on every machine: without the ids that CDK and KMS add. */
const nameOf = ({ source, sid, action }: Right) =>
  `${source.replace(/arn:aws:([a-z]+):[^:]*:\d{12}:/, '$1:').replace(/key\/\S+/, 'key/…')} ${sid ?? ''}: ${action}`.replace(
    /[0-9A-F]{8}(?=:| )/g,
    '',
  );
