import Sequencer from '@jest/test-sequencer';

/** What takes minutes, the longest first: begun late, it would run alone while the other workers have nothing to do. */
const LONGEST = [
  'servers/mysql',
  'servers/postgres',
  'servers/mariadb',
  'sync/kubernetes',
  'servers/redis',
  'model/alternating-users',
  'model/user-pair',
  'interleavings/interleavings',
  'model/single-user',
  'model/dual-password',
];

/** Jest itself knows how long a suite takes only where it ran before: not in a fresh clone. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const found = LONGEST.findIndex((name) => path.endsWith(`${name}.test.ts`));
      return found === -1 ? LONGEST.length : found;
    };
    return [...tests].sort((one, two) => rank(one) - rank(two));
  }
}
