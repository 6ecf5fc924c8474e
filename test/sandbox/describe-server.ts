import { format } from 'node:util';
import { describe, test } from '@jest/globals';

const HOW = 'bring the servers of the tests by: npm run servers';

/** `describe` for tests that need a server of `npm run servers`: without it they are skipped loudly, or fail where CI is set. */
export function describeOnServer(isInstalled: boolean, title: string, suite: () => void): void {
  if (isInstalled) describe(title, suite);
  else if (process.env['CI'])
    describe(title, () => {
      test('has its server', () => {
        throw new Error(HOW);
      });
    });
  else {
    console.warn(`SKIPPED: ${title}; ${HOW}`);
    // biome-ignore lint/suspicious/noSkippedTests: the one place; CI fails instead
    describe.skip(title, suite);
  }
}

/** The same for several servers, in the manner of `describe.each`: `%s` in the title stands for the one at hand. */
export function describeEachServer<Id>(ids: readonly Id[], isInstalled: (id: Id) => boolean) {
  return (title: string | ((id: Id) => string), suite: (id: Id) => void): void => {
    for (const id of ids) {
      const name = typeof title === 'string' ? format(title, id) : title(id);
      describeOnServer(isInstalled(id), name, () => suite(id));
    }
  };
}
