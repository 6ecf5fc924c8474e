import type { ContenderName } from './contenders.ts';
import type { ColdSample, ContenderResult, Sample, StrategyResult } from './rotation.ts';
import { median, quantile } from './statistics.ts';

/** One contender's numbers of one strategy: medians, unless they say otherwise. */
export interface Summary {
  readonly initMs: number;
  readonly readyMb: number | undefined;
  readonly peakMb: number | undefined;
  /** Start of the process and all four steps. */
  readonly coldMs: number;
  readonly warmMs: number;
  readonly warmP95Ms: number;
  readonly secretsManagerCalls: number;
  readonly awsMs: number;
  readonly databaseRoundTrips: number;
  readonly databaseConnections: number;
  readonly databaseMs: number;
}

/** Undefined when it did not get that far. */
export function summaryOf({ warm, cold }: ContenderResult): Summary | undefined {
  if (warm.length === 0 || cold.length === 0) return undefined;
  const ofWarm = (value: (sample: Sample) => number) => median(warm.map(value));
  const ofCold = (value: (sample: ColdSample) => number) => median(cold.map(value));
  const memory = (which: 'ready' | 'peak') =>
    cold.every(({ memoryMb }) => memoryMb) ? ofCold(({ memoryMb }) => memoryMb?.[which] ?? Number.NaN) : undefined;
  return {
    initMs: ofCold(({ initMs }) => initMs),
    readyMb: memory('ready'),
    peakMb: memory('peak'),
    coldMs: ofCold(({ initMs, wallMs }) => initMs + wallMs),
    warmMs: ofWarm(({ wallMs }) => wallMs),
    warmP95Ms: quantile(
      warm.map(({ wallMs }) => wallMs),
      0.95,
    ),
    secretsManagerCalls: ofWarm(({ secretsManager }) => Object.values(secretsManager).reduce((sum, n) => sum + n, 0)),
    awsMs: ofWarm(({ aws }) => aws.ms),
    databaseRoundTrips: ofWarm(({ database }) => database.roundTrips),
    databaseConnections: ofWarm(({ database }) => database.connections),
    databaseMs: ofWarm(({ database }) => database.ms),
  };
}

/** A goal of the project, and what was measured. */
export interface Verdict {
  readonly goal: string;
  readonly against: ContenderName;
  readonly measured: number;
  /** What the floor that keeps the promises has, divided by the same: nobody gets much below with the same libraries. */
  readonly ofFloor: number | undefined;
  readonly limit: number;
  readonly met: boolean;
}

interface Goal {
  readonly goal: string;
  readonly against: ContenderName;
  readonly value: (summary: Summary) => number;
  /** Of the other's value. */
  readonly limit: number;
}

const GOALS: readonly Goal[] = [
  { goal: 'init', against: 'aws', value: ({ initMs }) => initMs, limit: 0.4 },
  { goal: 'four steps, warm', against: 'aws', value: ({ warmMs }) => warmMs, limit: 0.5 },
  { goal: 'Secrets Manager calls', against: 'aws', value: ({ secretsManagerCalls }) => secretsManagerCalls, limit: 1 },
  ...(['promised', 'bare'] as const).flatMap((against) => [
    { goal: 'four steps, warm', against, value: ({ warmMs }: Summary) => warmMs, limit: 1.25 },
    {
      goal: 'database round trips',
      against,
      value: ({ databaseRoundTrips }: Summary) => databaseRoundTrips,
      limit: 1.25,
    },
    {
      goal: 'Secrets Manager calls',
      against,
      value: ({ secretsManagerCalls }: Summary) => secretsManagerCalls,
      limit: 1.25,
    },
  ]),
];

/** Rekey's numbers divided by the others', where both were measured. */
export function verdictsOf({ contenders }: StrategyResult): readonly Verdict[] {
  const summary = (wanted: ContenderName) => {
    const found = contenders.find(({ name, failure }) => name === wanted && failure === undefined);
    return found && summaryOf(found);
  };
  const rekey = summary('rekey');
  const floor = summary('promised');
  return GOALS.flatMap(({ goal, against, value, limit }) => {
    const other = summary(against);
    if (!rekey || !other) return [];
    const measured = value(rekey) / value(other);
    const ofFloor = against === 'aws' && floor !== undefined ? value(floor) / value(other) : undefined;
    return [{ goal, against, measured, ofFloor, limit, met: measured <= limit }];
  });
}
