import { systemClock } from '../shared/operations/clock.ts';
import { createMeasure, type Measure } from '../shared/operations/metrics.ts';

/** The metrics of this function. Lambda takes standard output for the log as it is; what `console` prints gets a prefix. */
export const measureFor = (env: NodeJS.ProcessEnv): Measure =>
  createMeasure(env['AWS_LAMBDA_FUNCTION_NAME'] ?? 'rekey', systemClock, (line) => process.stdout.write(line));
