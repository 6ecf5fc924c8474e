import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ROOT } from '../../infra/dist.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { Narrator } from '../sandbox/demo/narrator.ts';
import { showDemo } from '../sandbox/demo/show.ts';

const run = promisify(execFile);

onRealKubernetes('the demo on a real control plane', () =>
  describe('npm run demo -- --cluster real --keep', () => {
    const printed: string[] = [];
    /** What each printed line of kubectl answered, by its words. */
    const answers = new Map<string, string>();
    let up: readonly Process[];
    let held: boolean;
    let home: string;

    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), 'demo-'));
      const narrator = new Narrator((text) => printed.push(...stripVTControlCharacters(text).split('\n')));
      const keep = async () => {
        up = await startedHere();
        const [settings = ''] = printed.filter((line) => line.startsWith('export KUBECONFIG='));
        const env = { HOME: home, PATH: process.env['PATH'] };
        for (const line of printed.filter((one) => one.startsWith('kubectl ')))
          answers.set(line, (await run('sh', ['-ec', `${settings}\n${line}`], { env })).stdout);
      };
      held = await showDemo({ cluster: 'real', badRelease: false, keep }, narrator);
    }, 300_000);

    afterAll(() => rm(home, { recursive: true, force: true }));

    const answerOf = (words: string) => [...answers].find(([line]) => line.includes(words))?.[1] ?? '';

    test('shows a rotation on a cluster that it calls real, and all that it claims is so', () => {
      expect(printed.filter((line) => line.startsWith('  NOT'))).toEqual([]);
      expect(held).toBe(true);
      expect(printed).toContainEqual(expect.stringMatching(/real: Kubernetes v1\.\d+\.\d+: etcd, API server/));
      expect(printed).toContainEqual(expect.stringMatching(/ok .*\d{3} log-ins tried .*, 0 failed$/));
      expect(printed).toContainEqual(expect.stringMatching(/ok .*the server refuses the old user: password auth/));
    });

    test('prints lines of kubectl that work: the Events on a workload, and the proof of each pod', () => {
      const [current = ''] = printed.flatMap((line) => /the same version (\S+)/.exec(line)?.[1] ?? []);
      const described = answerOf('describe deployment/storefront');
      expect(described).toContain(`Restarted for secret shop/database, version ${current}`);
      expect(described).toContain(`Proved to run on secret shop/database, version ${current} (pods: 2)`);

      const rows = answerOf('kubectl get pods,secretproviderclasspodstatuses').trim().split('\n').slice(1);
      const cells = rows.map((row) => row.split(/\s+/));
      const mounted = new Map(
        cells.flatMap(([, , pod = '', , version]) => (version === current ? [pod] : [])).map((pod) => [pod, current]),
      );
      const pods = cells.flatMap(([kind, name = '', , , , , startedAt = '']) =>
        kind === 'Pod' ? [{ name, startedAt }] : [],
      );
      const users = pods.filter(({ name }) => !name.startsWith('docs-'));
      expect(users).toHaveLength(6);
      for (const { name, startedAt } of users) {
        expect(mounted.get(name)).toBe(current);
        expect(Date.parse(startedAt)).not.toBeNaN();
      }
      expect(answerOf('rollout status')).toContain('successfully rolled out');
    });

    test('leaves nothing running and no file when it ends', async () => {
      const programs = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'postgres'];
      for (const program of programs)
        expect(up).toContainEqual({ pid: expect.any(Number), args: expect.stringContaining(`/${program} `) });
      const folders = new Set([...up.map(({ args }) => args), ...printed].flatMap(temporaryFoldersIn));
      expect(folders.size).toBeGreaterThan(programs.length);

      const alive = new Map((await processes()).map(({ pid, args }) => [pid, args]));
      expect(up.filter(({ pid, args }) => alive.get(pid) === args)).toEqual([]);
      expect([...folders].filter((folder) => existsSync(folder))).toEqual([]);
    });
  }),
);

describe('npm run demo -- --cluster real, where no control plane is built', () => {
  let checkout: string;

  beforeAll(async () => {
    checkout = await mkdtemp(join(tmpdir(), 'demo-'));
    const made = ['node_modules', '.git', '.cache', 'dist', 'cdk.out'];
    await cp(ROOT, checkout, { recursive: true, filter: (path) => !made.includes(basename(path)) });
    await symlink(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  });
  afterAll(() => rm(checkout, { recursive: true, force: true }));

  test('names the one command that builds it, and ends with 2 before anything is started', async () => {
    const before = await readdir(checkout);
    const demo = run(process.execPath, ['test/sandbox/demo/demo.ts', '--cluster', 'real'], { cwd: checkout });

    await expect(demo).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('npm run cluster'),
    });
    expect(await readdir(checkout)).toEqual(before);
  });
});

interface Process {
  readonly pid: number;
  readonly args: string;
}

async function processes(): Promise<readonly (Process & { readonly parent: number })[]> {
  const { stdout } = await run('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], { maxBuffer: 2 ** 26 });
  return [...stdout.matchAll(/^ *(\d+) +(\d+) (.*)$/gm)].map(([, pid, parent, args = '']) => ({
    pid: Number(pid),
    parent: Number(parent),
    args,
  }));
}

/** What this process started, and what that started in turn. */
async function startedHere(): Promise<readonly Process[]> {
  const all = await processes();
  const here = new Set([process.pid]);
  // A set hands out what is added to it on the way, too.
  for (const pid of here) for (const child of all) if (child.parent === pid) here.add(child.pid);
  return all
    .filter(({ pid, args }) => pid !== process.pid && here.has(pid) && !args.startsWith('ps '))
    .map(({ pid, args }) => ({ pid, args }));
}

function temporaryFoldersIn(text: string): string[] {
  return text.split(/[\s='"]/).flatMap((word) => {
    const rest = word.startsWith(`${tmpdir()}/rekey-`) ? word.slice(tmpdir().length + 1) : undefined;
    return rest === undefined ? [] : [join(tmpdir(), rest.split('/')[0] ?? '')];
  });
}
