// Runs the handler of one module outside Lambda: an event a line on standard input, an answer a line on descriptor 3.
// The twin of python.py, so that two languages are measured in the same way.

import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const answer = (value) => writeSync(3, `${JSON.stringify(value)}\n`);
const { handler } = await import(pathToFileURL(process.argv[2]).href);
answer({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const event = JSON.parse(line);
  const endsAt = Date.now() + 60_000;
  const context = {
    invokedFunctionArn: process.env.FUNCTION_ARN,
    awsRequestId: event.ClientRequestToken,
    getRemainingTimeInMillis: () => Math.max(0, endsAt - Date.now()),
  };
  const beganAt = performance.now();
  try {
    await handler(event, context);
    answer({ ok: true, ms: performance.now() - beganAt });
  } catch (error) {
    answer({ ok: false, ms: performance.now() - beganAt, error: String(error?.message ?? error) });
  }
}
