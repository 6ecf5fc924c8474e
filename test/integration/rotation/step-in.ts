import { parseRotationEvent } from '../../../functions/rotation/event.ts';
import type { RotationRequest } from '../../../shared/rotation/steps.ts';

/** The step that Secrets Manager's event asks for. */
export function stepIn(event: unknown, functionArn: string): RotationRequest {
  const parsed = parseRotationEvent(event, functionArn);
  if (parsed.kind !== 'step') throw new Error('this event is no step of Secrets Manager');
  return parsed.request;
}
