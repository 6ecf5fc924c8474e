import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import type { AwsFunctions } from './contenders.ts';

/** What the numbers were measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Versions of Python and what AWS's functions import; undefined without them. */
  readonly python: string | undefined;
  /** Processes that wanted to run, over the last minute, when it began: above the number of cores, times say little. */
  readonly loadAtStart: number;
}

const VERSIONS = `
import platform
from importlib.metadata import version
print(", ".join(["Python " + platform.python_version()] + [f"{name} {version(name)}" for name in ("boto3", "PyGreSQL", "PyMySQL")]))
`;

export const machine = (aws: AwsFunctions | undefined): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  node: process.version,
  python: aws && execFileSync(aws.python, ['-c', VERSIONS], { encoding: 'utf8' }).trim(),
  loadAtStart: Number((loadavg()[0] ?? 0).toFixed(2)),
});
