import { describe, test } from '@jest/globals';
import { HOW_TO_BUILD, isBuilt } from './programs.ts';

/** Declares tests on a real Kubernetes: without it they are skipped loudly, or fail where CI is set. */
export function onRealKubernetes(title: string, suite: () => void): void {
  if (isBuilt()) suite();
  else if (process.env['CI'])
    test(`${title} has its control plane`, () => {
      throw new Error(HOW_TO_BUILD);
    });
  else {
    console.warn(`SKIPPED: ${title}; ${HOW_TO_BUILD}`);
    // biome-ignore lint/suspicious/noSkippedTests: CI fails instead
    describe.skip(title, suite);
  }
}
