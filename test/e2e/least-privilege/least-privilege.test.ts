import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Right } from '../../sandbox/aws/iam/index.ts';
import { startAws } from '../../sandbox/aws/index.ts';
import { START_MS } from '../../sandbox/environment.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { UNUSED } from './explained.ts';
import { type Removal, removals } from './removals.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { KEY_ARN, startWorld, type World } from './world.ts';

/** All of them take minutes, for CI: REKEY_RIGHTS=all. Else every so many. */
const SAMPLE = process.env['CI'] === 'true' || process.env['REKEY_RIGHTS'] === 'all' ? 1 : 8;
const SCENARIO_MS = 90_000;
/** How long after a refusal, when nothing is under way any more, the outcome may still come. */
const GRACE_MS = 500;

type Key = string;
const keyOf = ({ source, sid, action, resource }: Right): Key => JSON.stringify([source, sid, action, resource]);

/** Exactly the rights that Rekey is deployed with, at work: none is missing, and none is there for nothing. */
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
  const unusedRights = () => rights().filter((right) => !usedBy.has(keyOf(right)));
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
    expect(namesOf(unusedRights())).toEqual(Object.keys(UNUSED).sort());
  });

  test('are counted in docs/permissions.md', () => {
    const unused = namesOf(unusedRights()).length;
    const all = namesOf(rights()).length;
    const said = /(\d+) allowed actions: (\d+) are used, and (\d+) have/.exec(
      readFileSync('docs/permissions.md', 'utf8'),
    );
    expect(said?.slice(1).map(Number)).toEqual([all, all - unused, unused]);
  });

  test('are all needed: without any one of them something fails', async () => {
    const survived: string[] = [];
    let at = 0;
    for (const [index, { name, template }] of world.synthesised.stacks.entries())
      for (const removal of removals(template)) {
        at += 1;
        if (at % SAMPLE === 0 && (await survives(index, removal)))
          survived.push(`${name}: ${removal.from} ${removal.sid} ${removal.action}`);
      }
    expect(at).toBeGreaterThan(80);
    expect(survived).toEqual([]);
  }, 1_800_000);

  /** True where everything works without it, and it has not been explained. */
  async function survives(index: number, removal: Removal): Promise<boolean> {
    const [stack, synthesised] = [world.stacks[index], world.synthesised.stacks[index]];
    if (!stack || !synthesised) throw new Error(`there is no stack ${index}`);
    await world.clear(removal.functions);
    const before = rights().map(keyOf);
    // Lambda's pollers notice at once what they may not do any more.
    const refused = world.aws.iam.refusals.length;
    await stack.updatePolicies(removal.template);
    const after = new Set(rights().map(keyOf));
    const users = before.filter((key) => !after.has(key)).flatMap((key) => usedBy.get(key) ?? []);
    try {
      // Lambda's pollers use theirs all the time, so that some scenarios have nothing to do with them.
      const scenarios = [...new Set(users.filter((user) => user !== undefined))];
      for (const scenario of scenarios) if (!(await holds(scenario, refused))) return false;
      if (scenarios.length > 0) return true;
      return users.length > 0 && (await deploys(index, removal.template));
    } finally {
      await stack.updatePolicies(synthesised.template);
    }
  }

  /** False once it was refused something, nothing is under way, and what was promised has still not come. */
  async function holds(scenario: Scenario, refused: number): Promise<boolean> {
    const { refusals } = world.aws.iam;
    const isSo = await scenario.start(world);
    const isSoBy = async (what: string, end: () => boolean, withinMs: number) =>
      eventually(what, async () => (await isSo()) || end(), withinMs).catch(() => undefined);
    await isSoBy(scenario.name, () => refusals.length > refused, SCENARIO_MS);
    await world.aws.idle();
    await isSoBy('another way', () => false, GRACE_MS);
    return await isSo();
  }

  async function deploys(index: number, template: unknown): Promise<boolean> {
    const aws = await startAws({ access: 'enforced' });
    try {
      const stacks = world.synthesised.stacks.map((stack, at) => (at === index ? { ...stack, template } : stack));
      return await world.deployTo(aws, stacks).then(
        () => true,
        () => false,
      );
    } finally {
      await aws.close();
    }
  }
});

/** Those of the tests' own hands and ears are none of Rekey's. */
const isOfRekey = (source: string) =>
  !/AdministratorAccess|role\/sandbox$|heard-by-the-tests$|:people$/.test(source) && !source.endsWith(KEY_ARN);

const namesOf = (rights: readonly Right[]) => [...new Set(rights.map(nameOf))].sort();

/** The same on every machine: without the ids that CDK and KMS add. */
const nameOf = ({ source, sid, action }: Right) =>
  `${source.replace(/arn:aws:([a-z]+):[^:]*:\d{12}:/, '$1:').replace(/key\/\S+/, 'key/…')} ${sid ?? ''}: ${action}`.replace(
    /[0-9A-F]{8}(?=:| )/g,
    '',
  );
