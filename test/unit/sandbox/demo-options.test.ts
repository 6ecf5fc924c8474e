import { describe, expect, test } from '@jest/globals';
import { HELP, readOptions } from '../../sandbox/demo/options.ts';

const built = () => true;
const notBuilt = () => false;

describe('the options of the demo', () => {
  test('none is the simulated cluster, and asks nobody whether a real one is built', () => {
    const asked = () => {
      throw new Error('asked');
    };
    expect(readOptions([], asked)).toEqual({ kind: 'show', cluster: 'sandbox', keep: false, badRelease: false });
    expect(readOptions(['--cluster', 'sandbox', '--keep'], asked)).toMatchObject({ cluster: 'sandbox', keep: true });
  });

  test('--cluster real is the real control plane where it is built', () => {
    expect(readOptions(['--cluster=real', '--bad-release'], built)).toEqual({
      kind: 'show',
      cluster: 'real',
      keep: false,
      badRelease: true,
    });
  });

  test('--cluster real is refused where none is built, with the one command that builds it', () => {
    const options = readOptions(['--cluster', 'real'], notBuilt);
    expect(options).toEqual({
      kind: 'refused',
      why: expect.stringMatching(/^no real control plane .*\n→ .*npm run cluster/),
    });
    expect(options).not.toMatchObject({ why: expect.stringContaining(HELP) });
  });

  test.each([
    [['--cluster', 'kind'], '--cluster is sandbox or real, not kind'],
    [['--cluster', 'toString'], '--cluster is sandbox or real, not toString'],
    [['--cluster'], "Option '--cluster <value>' argument missing"],
    [['--kep'], "Unknown option '--kep'"],
    [['real'], "Unexpected argument 'real'"],
  ])('%j is refused with what is wrong and the help', (args, why) => {
    const options = readOptions(args, built);
    expect(options).toEqual({ kind: 'refused', why: expect.stringContaining(why) });
    expect(options).toMatchObject({ why: expect.stringContaining(HELP) });
  });

  test('--help is answered, whatever is built', () => {
    expect(readOptions(['--cluster', 'real', '--help'], notBuilt)).toEqual({ kind: 'help' });
    expect(readOptions(['-h'], built)).toEqual({ kind: 'help' });
  });
});
