import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { BackgroundWork } from '../background-work.ts';
import { handleWith, operation } from '../operation.ts';
import { AwsError, type AwsService, type Need } from '../service.ts';
import { type EventEnvelope, formatEventTime } from './event.ts';
import { type EventPattern, matchesPattern, parsePattern } from './pattern.ts';
import { inputFor, targetInputSchema } from './target-input.ts';

/** EventBridge quotas and PutEvents API. */
const MAX_ENTRIES = 10;
const MAX_REQUEST_BYTES = 256 * 1024;
const MAX_TARGETS_PER_RULE = 5;
const DEFAULT_BUS = 'default';

/**
 * When each copy of an event is handed to a target, in milliseconds from now: `[0]` once at once, `[0, 0]` twice,
 * `[50]` later than what follows, `[]` never. EventBridge promises at least once and no order.
 */
export type DeliveryPlan = (event: EventEnvelope, targetArn: string) => readonly number[];

export interface EventBridge extends AwsService {
  /** What an AWS service emits: onto the default bus. Missing members of the envelope are filled in. */
  publish(event: Pick<EventEnvelope, 'source' | 'detail-type' | 'detail'> & Partial<EventEnvelope>): void;
  /** Undefined goes back to once, at once. */
  disturb(plan: DeliveryPlan | undefined): void;
  /** The moment of a schedule of the default bus: its targets get the event. @throws AwsError for a rule that has none */
  fire(ruleName: string): void;
}

interface Bus {
  readonly name: string;
  readonly arn: string;
  readonly createdAt: Date;
  readonly rules: Map<string, Rule>;
}

interface Rule {
  readonly Name: string;
  readonly Arn: string;
  readonly EventBusName: string;
  readonly State: 'ENABLED' | 'DISABLED';
  readonly EventPattern?: string | undefined;
  readonly ScheduleExpression?: string | undefined;
  readonly Description?: string | undefined;
  readonly RoleArn?: string | undefined;
  readonly pattern: EventPattern | undefined;
  readonly targets: Map<string, Target>;
}

const targetSchema = z.object({
  Id: z.string().regex(/^[.\-_A-Za-z0-9]{1,64}$/),
  Arn: z.string().startsWith('arn:'),
  RoleArn: z.string().optional(),
  ...targetInputSchema,
  SqsParameters: z.object({ MessageGroupId: z.string().optional() }).optional(),
  DeadLetterConfig: z.object({ Arn: z.string().optional() }).optional(),
  RetryPolicy: z
    .object({
      MaximumRetryAttempts: z.number().int().min(0).max(185).optional(),
      MaximumEventAgeInSeconds: z.number().int().min(60).max(86_400).optional(),
    })
    .optional(),
});
type Target = z.infer<typeof targetSchema>;

const ruleName = z.string().regex(/^[.\-_A-Za-z0-9]{1,64}$/);
const busName = z.string().min(1).optional();
const paging = { NextToken: z.string().optional(), Limit: z.number().int().min(1).max(100).default(100) };
const entrySchema = z.object({
  Source: z.string().optional(),
  DetailType: z.string().optional(),
  Detail: z.string().optional(),
  Resources: z.array(z.string()).default([]),
  EventBusName: busName,
  /** Epoch seconds, as the JSON protocol carries instants. */
  Time: z.number().optional(),
});
type Entry = z.infer<typeof entrySchema>;

/**
 * Simulated EventBridge: buses, rules and targets. A schedule fires when it is told to.
 * @param deliver hands the text to what the ARN names; an AwsError sends the event to the target's dead-letter queue
 */
export function createEventBridge(options: {
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly work: BackgroundWork;
  readonly deliver: (arn: string, text: string, ruleArn: string) => Promise<void>;
}): EventBridge {
  const { accountId, region, now, work } = options;
  const arnOf = (resource: string) => `arn:aws:events:${region}:${accountId}:${resource}`;
  const buses = new Map<string, Bus>();
  let plan: DeliveryPlan = () => [0];
  addBus(DEFAULT_BUS);

  function addBus(name: string): Bus {
    const bus = { name, arn: arnOf(`event-bus/${name}`), createdAt: new Date(now()), rules: new Map<string, Rule>() };
    buses.set(name, bus);
    return bus;
  }

  function findBus(nameOrArn: string = DEFAULT_BUS): Bus {
    const name = nameOrArn.startsWith('arn:') ? (nameOrArn.split(':event-bus/')[1] ?? '') : nameOrArn;
    const bus = buses.get(name);
    if (!bus) throw notFound(`Event bus ${name} does not exist.`);
    return bus;
  }

  function findRule(name: string, bus: Bus): Rule {
    const rule = bus.rules.get(name);
    if (!rule) throw notFound(`Rule ${name} does not exist on EventBus ${bus.name}.`);
    return rule;
  }

  function dispatch(bus: Bus, event: EventEnvelope): void {
    for (const rule of bus.rules.values()) {
      if (rule.State !== 'ENABLED' || !rule.pattern || !matchesPattern(rule.pattern, event)) continue;
      for (const target of rule.targets.values())
        for (const milliseconds of plan(event, target.Arn))
          work.run(() => deliverLater(milliseconds, rule, target, event));
    }
  }

  async function deliverLater(milliseconds: number, rule: Rule, target: Target, event: EventEnvelope): Promise<void> {
    if (milliseconds > 0) await delay(milliseconds);
    try {
      if (target.Arn.includes(':event-bus/')) dispatch(findBus(target.Arn), event);
      else await options.deliver(target.Arn, inputFor(target, event, rule.Name, rule.Arn), rule.Arn);
    } catch (thrown) {
      // A target that does not exist is not retried but dead-lettered: User Guide, "Using dead-letter queues".
      if (!(thrown instanceof AwsError)) throw thrown;
      if (target.DeadLetterConfig?.Arn)
        await options.deliver(target.DeadLetterConfig.Arn, JSON.stringify(event), rule.Arn).catch(onlyOfAws);
    }
  }

  function envelope(event: Parameters<EventBridge['publish']>[0]): EventEnvelope {
    return {
      version: '0',
      id: event.id ?? randomUUID(),
      'detail-type': event['detail-type'],
      source: event.source,
      account: event.account ?? accountId,
      time: event.time ?? formatEventTime(now()),
      region: event.region ?? region,
      resources: event.resources ?? [],
      detail: event.detail,
    };
  }

  function putEntry(entry: Entry): { EventId: string } | { ErrorCode: string; ErrorMessage: string } {
    for (const name of ['Source', 'DetailType', 'Detail'] as const)
      if (!entry[name])
        return {
          ErrorCode: 'InvalidArgument',
          ErrorMessage: `Parameter ${name} is not valid. Reason: ${name} is a required argument.`,
        };
    const { Source: source = '', DetailType: detailType = '', Detail = '' } = entry;
    // PutEvents API: "aws." is reserved for AWS services.
    if (source.startsWith('aws.'))
      return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
    const detail = jsonObject(Detail);
    if (!detail) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
    const event = envelope({
      source,
      'detail-type': detailType,
      detail,
      resources: entry.Resources,
      ...(entry.Time === undefined ? {} : { time: formatEventTime(entry.Time * 1_000) }),
    });
    // An event for a bus that is not there is accepted and goes nowhere, as on AWS.
    const name = entry.EventBusName?.split(':event-bus/').at(-1) ?? DEFAULT_BUS;
    const bus = buses.get(name);
    if (bus) dispatch(bus, event);
    return { EventId: event.id };
  }

  const operations = {
    PutEvents: operation(z.object({ Entries: z.array(entrySchema).min(1) }), ({ Entries }) => {
      if (Entries.length > MAX_ENTRIES)
        throw new AwsError(
          'ValidationException',
          `1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to ${MAX_ENTRIES}`,
        );
      if (Entries.reduce((bytes, entry) => bytes + sizeOf(entry), 0) > MAX_REQUEST_BYTES)
        throw new AwsError('ValidationException', 'Total size of the entries in the request is over the limit.');
      const results = Entries.map(putEntry);
      return { Entries: results, FailedEntryCount: results.filter((result) => 'ErrorCode' in result).length };
    }),

    CreateEventBus: operation(z.object({ Name: z.string().regex(/^[/.\-_A-Za-z0-9]{1,256}$/) }), ({ Name }) => {
      if (buses.has(Name)) throw new AwsError('ResourceAlreadyExistsException', `Event bus ${Name} already exists.`);
      return { EventBusArn: addBus(Name).arn };
    }),
    DeleteEventBus: operation(z.object({ Name: z.string() }), ({ Name }) => {
      if (Name === DEFAULT_BUS) throw new AwsError('ValidationException', 'Cannot delete event bus default.');
      if (buses.get(Name)?.rules.size)
        throw new AwsError('ValidationException', "Event bus can't be deleted since it has rules.");
      buses.delete(Name);
      return {};
    }),
    DescribeEventBus: operation(z.object({ Name: busName }), ({ Name }) => busAnswer(findBus(Name))),
    ListEventBuses: operation(z.object({ NamePrefix: z.string().default(''), ...paging }), (input) => {
      const { items, ...next } = page([...buses.values()], (bus) => bus.name, input);
      return { EventBuses: items.map(busAnswer), ...next };
    }),

    PutRule: operation(
      z.object({
        Name: ruleName,
        EventBusName: busName,
        EventPattern: z.string().optional(),
        ScheduleExpression: z.string().optional(),
        State: z.enum(['ENABLED', 'DISABLED']).default('ENABLED'),
        Description: z.string().max(512).optional(),
        RoleArn: z.string().optional(),
      }),
      ({ EventBusName, ...rule }) => {
        const bus = findBus(EventBusName);
        if (!rule.EventPattern && !rule.ScheduleExpression)
          throw new AwsError(
            'ValidationException',
            'Parameter(s) EventPattern or ScheduleExpression must be specified.',
          );
        if (rule.ScheduleExpression && bus.name !== DEFAULT_BUS)
          throw new AwsError('ValidationException', 'ScheduleExpression is supported only on the default event bus.');
        if (rule.ScheduleExpression && !/^(rate|cron)\(.+\)$/.test(rule.ScheduleExpression))
          throw new AwsError('ValidationException', 'Parameter ScheduleExpression is not valid.');
        const Arn = arnOf(bus.name === DEFAULT_BUS ? `rule/${rule.Name}` : `rule/${bus.name}/${rule.Name}`);
        bus.rules.set(rule.Name, {
          ...rule,
          Arn,
          EventBusName: bus.name,
          pattern: rule.EventPattern ? parsePattern(rule.EventPattern) : undefined,
          targets: bus.rules.get(rule.Name)?.targets ?? new Map<string, Target>(),
        });
        return { RuleArn: Arn };
      },
    ),
    DescribeRule: operation(z.object({ Name: z.string(), EventBusName: busName }), ({ Name, EventBusName }) =>
      ruleAnswer(findRule(Name, findBus(EventBusName))),
    ),
    ListRules: operation(
      z.object({ NamePrefix: z.string().default(''), EventBusName: busName, ...paging }),
      ({ EventBusName, ...input }) => {
        const { items, ...next } = page([...findBus(EventBusName).rules.values()], (rule) => rule.Name, input);
        return { Rules: items.map(ruleAnswer), ...next };
      },
    ),
    DeleteRule: operation(z.object({ Name: z.string(), EventBusName: busName }), ({ Name, EventBusName }) => {
      const bus = findBus(EventBusName);
      if (bus.rules.get(Name)?.targets.size)
        throw new AwsError('ValidationException', "Rule can't be deleted since it has targets.");
      bus.rules.delete(Name);
      return {};
    }),

    PutTargets: operation(
      z.object({ Rule: z.string(), EventBusName: busName, Targets: z.array(targetSchema).min(1) }),
      ({ Rule: name, EventBusName, Targets }) => {
        const { targets } = findRule(name, findBus(EventBusName));
        const ids = new Set([...targets.keys(), ...Targets.map(({ Id }) => Id)]);
        if (ids.size > MAX_TARGETS_PER_RULE)
          throw new AwsError('LimitExceededException', 'The requested resource exceeds the maximum number allowed.');
        for (const target of Targets) targets.set(target.Id, target);
        return { FailedEntryCount: 0, FailedEntries: [] };
      },
    ),
    ListTargetsByRule: operation(
      z.object({ Rule: z.string(), EventBusName: busName, ...paging }),
      ({ Rule: name, EventBusName, ...input }) => {
        const { targets } = findRule(name, findBus(EventBusName));
        const { items, ...next } = page([...targets.values()], (target) => target.Id, { NamePrefix: '', ...input });
        return { Targets: items, ...next };
      },
    ),
    RemoveTargets: operation(
      z.object({ Rule: z.string(), EventBusName: busName, Ids: z.array(z.string()).min(1) }),
      ({ Rule: name, EventBusName, Ids }) => {
        const { targets } = findRule(name, findBus(EventBusName));
        const missing = Ids.filter((id) => !targets.delete(id));
        return {
          FailedEntryCount: missing.length,
          FailedEntries: missing.map((TargetId) => ({
            TargetId,
            ErrorCode: 'ResourceNotFoundException',
            ErrorMessage: `Rule ${name} does not have a target with the Id ${TargetId}.`,
          })),
        };
      },
    ),

    TestEventPattern: operation(z.object({ EventPattern: z.string(), Event: z.string() }), (input) => {
      const pattern = parsePattern(input.EventPattern);
      const event = jsonObject(input.Event);
      const required = ['id', 'account', 'source', 'time', 'region', 'resources', 'detail-type'];
      const missing = required.find((name) => event && !(name in event));
      if (!event || missing)
        throw new AwsError(
          'ValidationException',
          `Parameter Event is not valid. Reason: ${missing ? `${missing} is a required member` : 'it is not an object'}.`,
        );
      return { Result: matchesPattern(pattern, event) };
    }),
  };

  function needs(name: string, input: unknown): readonly Need[] {
    const request = (input ?? {}) as {
      readonly Entries?: readonly Entry[];
      readonly EventBusName?: string;
      readonly Name?: string;
      readonly Rule?: string;
    };
    const busArn = (nameOrArn: string = DEFAULT_BUS) =>
      nameOrArn.startsWith('arn:') ? nameOrArn : arnOf(`event-bus/${nameOrArn}`);
    if (name === 'PutEvents')
      return (request.Entries ?? []).map(({ EventBusName, Source, DetailType }) => ({
        action: 'events:PutEvents',
        resource: busArn(EventBusName),
        context: { 'events:source': Source, 'events:detail-type': DetailType },
      }));
    if (/EventBus$/.test(name)) return [{ action: `events:${name}`, resource: busArn(request.Name) }];
    const rule = request.Rule ?? (name === 'ListRules' ? undefined : request.Name);
    if (rule === undefined) return [{ action: `events:${name}`, resource: '*' }];
    const bus = request.EventBusName ?? DEFAULT_BUS;
    return [
      { action: `events:${name}`, resource: arnOf(bus === DEFAULT_BUS ? `rule/${rule}` : `rule/${bus}/${rule}`) },
    ];
  }

  return {
    name: 'events',
    protocols: [{ kind: 'json', version: '1.1', targetPrefix: 'AWSEvents' }],
    handle: handleWith(operations),
    denial: { code: 'AccessDeniedException', status: 400 },
    needs,
    publish: (event) => dispatch(findBus(), envelope(event)),
    disturb(next) {
      plan = next ?? (() => [0]);
    },
    fire(ruleName) {
      const rule = findRule(ruleName, findBus());
      if (!rule.ScheduleExpression) throw new AwsError('ValidationException', `Rule ${ruleName} has no schedule.`);
      if (rule.State !== 'ENABLED') return;
      // EventBridge User Guide, "Creating a rule that runs on a schedule": what a target gets.
      const event = envelope({
        source: 'aws.events',
        'detail-type': 'Scheduled Event',
        resources: [rule.Arn],
        detail: {},
      });
      for (const target of rule.targets.values()) work.run(() => deliverLater(0, rule, target, event));
    },
  };
}

/** An event that its dead-letter queue refuses as well is lost. */
function onlyOfAws(thrown: unknown): void {
  if (!(thrown instanceof AwsError)) throw thrown;
}

function busAnswer({ name: Name, arn: Arn, createdAt: CreationTime }: Bus): object {
  return { Name, Arn, CreationTime };
}

function ruleAnswer({ pattern: _pattern, targets: _targets, ...rule }: Rule): object {
  return rule;
}

/** In the order of the keys; the token is the last key of the page before. */
function page<Item>(
  all: readonly Item[],
  keyOf: (item: Item) => string,
  request: { readonly NamePrefix: string; readonly NextToken?: string | undefined; readonly Limit: number },
): { items: Item[]; NextToken?: string } {
  const rest = all
    .filter((item) => keyOf(item).startsWith(request.NamePrefix))
    .sort((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1))
    .filter((item) => request.NextToken === undefined || keyOf(item) > request.NextToken);
  const items = rest.slice(0, request.Limit);
  const last = items.at(-1);
  return last !== undefined && rest.length > items.length ? { items, NextToken: keyOf(last) } : { items };
}

/** PutEvents, "Calculating PutEvents event entry size": 14 bytes for Time, the rest as UTF-8. */
function sizeOf(entry: Entry): number {
  const texts = [entry.Source, entry.DetailType, entry.Detail, ...entry.Resources];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), 0);
  return bytes + (entry.Time === undefined ? 0 : 14);
}

function jsonObject(text: string): object | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function notFound(message: string): AwsError {
  return new AwsError('ResourceNotFoundException', message);
}
