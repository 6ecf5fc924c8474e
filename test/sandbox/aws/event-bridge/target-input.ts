import { z } from 'zod';
import type { EventEnvelope } from './event.ts';

/** What a target gets of an event: all of it, a part, a constant or a template (PutTargets API, "Target"). */
export const targetInputSchema = {
  Input: z.string().optional(),
  InputPath: z.string().optional(),
  InputTransformer: z
    .object({ InputPathsMap: z.record(z.string(), z.string()).default({}), InputTemplate: z.string() })
    .optional(),
};

export interface TargetInput {
  readonly Input?: string | undefined;
  readonly InputPath?: string | undefined;
  readonly InputTransformer?:
    | { readonly InputPathsMap: Readonly<Record<string, string>>; readonly InputTemplate: string }
    | undefined;
}

/** @returns the text that is delivered */
export function inputFor(target: TargetInput, event: EventEnvelope, ruleName: string, ruleArn: string): string {
  if (target.Input !== undefined) return target.Input;
  if (target.InputPath !== undefined) return JSON.stringify(valueAt(event, target.InputPath) ?? null);
  if (target.InputTransformer) return fill(target.InputTransformer, event, ruleName, ruleArn);
  return JSON.stringify(event);
}

function fill(
  transformer: NonNullable<TargetInput['InputTransformer']>,
  event: EventEnvelope,
  ruleName: string,
  ruleArn: string,
): string {
  const variables = new Map<string, unknown>([
    ['aws.events.rule-name', ruleName],
    ['aws.events.rule-arn', ruleArn],
    ['aws.events.event.ingestion-time', event.time],
    ['aws.events.event', event],
    ['aws.events.event.json', event],
  ]);
  for (const [name, path] of Object.entries(transformer.InputPathsMap)) variables.set(name, valueAt(event, path));

  let inString = false;
  return transformer.InputTemplate.replace(/\\.|"|<([\w.-]+)>/g, (part, name?: string) => {
    if (part === '"') inString = !inString;
    if (name === undefined || !variables.has(name)) return part;
    const value = variables.get(name) ?? '';
    const json = JSON.stringify(value);
    if (!inString) return json;
    // Inside a quoted string only the text of a string variable is placed; an object keeps its escaped JSON.
    return typeof value === 'string' ? json.slice(1, -1) : JSON.stringify(json).slice(1, -1);
  });
}

/** The dots and brackets of JSONPath that EventBridge takes: `$.detail.list[0].name`. */
function valueAt(event: object, path: string): unknown {
  const steps = path.replace(/^\$\.?/, '').match(/[^.[\]]+/g) ?? [];
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined | null)?.[step], event);
}
