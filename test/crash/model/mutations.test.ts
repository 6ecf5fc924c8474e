import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { MUTATIONS } from './mutations.ts';

/** A promise that cannot be seen to break is worth nothing. */
describe('the model sees', () => {
  test.each(MUTATIONS)('$breaks break when $mistake', async ({ mistake, breaks }) => {
    const program = join(import.meta.dirname, 'mutant.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [program, mistake], { maxBuffer: 2 ** 26 });
    expect(stdout).toMatch(new RegExp(`^[^:]+:.*: ${breaks}: `));
  });
});
