import { describe, test } from '@jest/globals';
import { isBuilt } from './index.ts';

const HOW = 'build a real control plane for the tests by: npm run cluster (needs Go 1.26; 6 minutes, once)';

/** Declares tests on a real Kubernetes: without it they are skipped loudly, or fail where CI is set. */
export function onRealKubernetes(title: string, suite: () => void): void {
  if (isBuilt()) suite();
  else if (process.env['CI'])
    test(`${title} has its control plane`, () => {
      throw new Error(HOW);
    });
  else {
    console.warn(`SKIPPED: ${title}; ${HOW}`);
    // biome-ignore lint/suspicious/noSkippedTests: CI fails instead
    describe.skip(title, suite);
  }
}
