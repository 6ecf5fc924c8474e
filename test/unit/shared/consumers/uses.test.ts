import { describe, expect, test } from '@jest/globals';
import type { CsiDriver } from '../../../../shared/cluster/port.ts';
import { type Choice, choiceFor, type How, type Steering } from '../../../../shared/consumers/uses.ts';

const OLD: CsiDriver = { version: { major: 1, minor: 5 }, rotation: undefined, nodes: { wanted: 3, ready: 3 } };
const ROTATING: CsiDriver = { ...OLD, rotation: { everyMs: 120_000 } };
const NEW: CsiDriver = { ...OLD, version: { major: 1, minor: 6 } };
const NEW_ROTATING: CsiDriver = { ...NEW, rotation: { everyMs: 120_000 } };
const UNTAGGED: CsiDriver = { ...OLD, version: undefined };

const choice = (
  use: Choice['use'],
  first: Choice['first'],
  restarts: Choice['restarts'],
  evidence: Choice['evidence'],
): Choice => ({ use, first, restarts, evidence });
const refused = (use: Choice['use'], ...words: string[]) =>
  expect.objectContaining({ use, refused: expect.stringMatching(words.join('.*')) });

describe('what follows from a use', () => {
  test.each<[How, Steering, CsiDriver | undefined, unknown]>([
    ['csi-file', 'restart', undefined, choice('B', 'nothing', 1, 'mount')],
    ['csi-file', 'restart', OLD, choice('B', 'nothing', 1, 'mount')],
    ['csi-file', 'annotate', undefined, choice('A', 'nothing', 0, 'mount')],
    ['csi-file', 'annotate', ROTATING, choice('A', 'nothing', 0, 'mount')],
    ['csi-file', 'annotate', OLD, refused('A', 'rotation of the CSI driver is off', 'enableSecretRotation')],
    ['csi-file', 'run', OLD, choice('G', 'nothing', 0, 'mount')],
    ['csi-file', 'left', OLD, choice('B', 'nothing', 0, 'mount')],
    ['csi-sub-path', 'restart', ROTATING, choice('C', 'nothing', 1, 'mount')],
    ['csi-sub-path', 'annotate', ROTATING, refused('C', 'subPath never shows', 'use restart')],
    ['csi-unrecorded', 'restart', ROTATING, choice('B', 'nothing', 1, 'template')],
    ['csi-unrecorded', 'annotate', ROTATING, refused('B', 'only a record of the driver')],
    ['csi-environment', 'restart', ROTATING, choice('D', 'driver', 1, 'start')],
    ['csi-environment', 'restart', NEW_ROTATING, choice('D', 'driver', 1, 'start')],
    ['csi-environment', 'restart', NEW, choice('D', 'nothing', 2, 'start')],
    ['csi-environment', 'restart', OLD, refused('D', 'enableSecretRotation', 'no mount ever renews')],
    ['csi-environment', 'restart', UNTAGGED, refused('D', 'enableSecretRotation')],
    ['csi-environment', 'restart', undefined, refused('D', 'no DaemonSet is recognised')],
    ['csi-environment', 'annotate', ROTATING, refused('D', 'no record tells what a container has from a Secret')],
    ['csi-environment', 'run', ROTATING, refused('D', 'while a finished pod is there')],
    ['external-environment', 'restart', undefined, choice('E', 'force-sync', 1, 'start')],
    ['external-environment', 'annotate', undefined, refused('E', 'use restart')],
    ['external-environment', 'run', undefined, choice('G', 'force-sync', 0, 'start')],
    ['external-file', 'restart', undefined, choice('F', 'force-sync', 1, 'start')],
    ['external-file', 'annotate', undefined, refused('F', 'use restart')],
    ['named', 'restart', undefined, choice('B', 'nothing', 1, 'template')],
    ['named', 'annotate', undefined, refused('B', 'use restart')],
    ['named', 'run', undefined, choice('G', 'nothing', 0, 'template')],
  ])('%s, %s', (how, steering, driver, expected) => {
    expect(choiceFor(how, steering, driver)).toEqual(expected);
  });
});
