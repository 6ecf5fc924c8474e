import { existsSync } from 'node:fs';
import Sequencer from '@jest/test-sequencer';

/** What takes minutes, the longest first: begun late, it would run alone while the other workers have nothing to do. */
const LONGEST = [
  'servers/mysql',
  'servers/postgres',
  'servers/mariadb',
  'servers/redis',
  'sync/kubernetes',
  'interleavings/interleavings',
  'model/alternating-users',
  'model/user-pair',
  'model/dual-password',
  'sync/fake',
  'sync/replay',
  'model/single-user',
];

/** Jest itself knows how long a suite takes only where it ran before: not in a fresh clone. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    const gone = LONGEST.filter((name) => !existsSync(new URL(`${name}.test.ts`, import.meta.url)));
    if (gone.length > 0) throw new Error(`test/crash/longest-first.mjs names what is not there: ${gone.join(', ')}`);
    const rank = ({ path }) => {
      const found = LONGEST.findIndex((name) => path.endsWith(`/crash/${name}.test.ts`));
      return found === -1 ? LONGEST.length : found;
    };
    return [...tests].sort((one, two) => rank(one) - rank(two));
  }
}
