import { type ZodType, z } from 'zod';
import { AwsError, type AwsService, type Caller, unknownOperation } from './service.ts';

/** One operation of a service: its input is parsed before anything happens. */
export interface Operation {
  readonly run: (input: unknown, caller: Caller) => object | Promise<object>;
}

/** @param invalid the error code that the service answers for a malformed input */
export function operation<Input>(
  schema: ZodType<Input>,
  run: (input: Input, caller: Caller) => object | Promise<object>,
  invalid = 'ValidationException',
): Operation {
  return {
    run(input, caller) {
      const parsed = schema.safeParse(input ?? {});
      if (!parsed.success) throw new AwsError(invalid, z.prettifyError(parsed.error));
      return run(parsed.data, caller);
    },
  };
}

/** The `handle` of a service that consists of these operations. */
export function handleWith(operations: Readonly<Record<string, Operation>>): AwsService['handle'] {
  return async (name, input, caller) => {
    const found = Object.hasOwn(operations, name) ? operations[name] : undefined;
    if (!found) throw unknownOperation(name);
    return found.run(input, caller);
  };
}
