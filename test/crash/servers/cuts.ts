import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import { runStep } from '../../../shared/rotation/steps.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import { createApplication } from '../../integration/rotation/real-database.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { type Chunk, startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import { watchedIn } from './run.ts';
import { watch } from './watch.ts';

/** Where the connection of setSecret is cut. */
export interface Cut {
  /** So many bytes of the client's have passed by then. */
  readonly sent: number;
  /** And after those, so many of the server's. Undefined cuts in the client's bytes. */
  readonly answered?: number;
}

export interface Cuts {
  /** Before every byte of the statement and of its answer, and behind the last. */
  readonly all: readonly Cut[];
  /**
   * A rotation whose setSecret is cut there, and which is delivered again.
   * @throws Error when a promise of docs/reliability.md is broken
   */
  run(cut: Cut): Promise<void>;
  close(): Promise<void>;
}

const LAMBDA_MS = 30_000;
/** Every version of a secret is looked through at every call: after so many, another secret is quicker. */
const ROTATIONS = 50;

/**
 * The statement by which a user changes its own password, on its way to a real server. Whoever stands in between sees
 * TLS's records, so the statement is found by what it does: it is what the client says in one go, and after which, with
 * nothing more said, the server takes the new password.
 */
export async function startCuts(server: RealServer): Promise<Cuts> {
  const proxy = await startTcpProxy(server.port);
  const begin = async () => {
    const begun = await beginRotations(server, proxy);
    // From the second one on they are alike: a handshake of TLS may be shortened, and Rekey made the password.
    await begun.next();
    return begun;
  };
  let rotations = await begin();

  const turns = await rotations.next();
  const statement = await findStatement();
  async function findStatement() {
    let sent = 0;
    for (const [index, { from, bytes }] of turns.entries()) {
      if (from === 'server') continue;
      const start = sent;
      sent += bytes;
      await rotations.next({ sent, answered: 0 });
      if (rotations.changedWhenCut()) return { start, end: sent, answer: turns[index + 1]?.bytes ?? 0 };
    }
    throw new Error('nothing that the client said changed the password');
  }
  const { start, end, answer } = statement;
  let runs = 0;
  return {
    all: [
      ...Array.from({ length: end - start }, (_, byte) => ({ sent: start + byte })),
      ...Array.from({ length: answer + 1 }, (_, byte) => ({ sent: end, answered: byte })),
    ],
    async run(cut) {
      runs += 1;
      if (runs % ROTATIONS === 0) rotations = await begin();
      await rotations.next(cut);
    },
    close: proxy.close,
  };
}

/** What one side says until the other one does. */
interface Turn {
  readonly from: Chunk['from'];
  bytes: number;
}

/** One rotation after the other of a new user. */
async function beginRotations(server: RealServer, proxy: TcpProxy) {
  const application = await createApplication({ ...server, port: proxy.port }, 'single-user');
  const { rig, arn, works } = application;
  const deps = { ...rig.deps, ...server.rekey, clock: systemClock };
  const promises = await watch(server, watchedIn(application, 'single-user'));
  const step = (step: Step, versionId: string) =>
    runStep({ step, secretArn: arn, versionId, rotationToken: undefined }, deps, deadlineIn(LAMBDA_MS, systemClock));
  let changed = false;

  return {
    /** Whether the server took the new password when the last rotation was cut. */
    changedWhenCut: () => changed,

    /** @returns what was said in setSecret */
    async next(cut?: Cut): Promise<readonly Turn[]> {
      const versionId = application.beginRotation();
      await step('createSecret', versionId);
      const dialogue = listen(cut, proxy.connections());
      proxy.onChunk(dialogue.fate);
      const failure = await step('setSecret', versionId).then(
        () => undefined,
        (error: unknown) => error,
      );
      proxy.onChunk(undefined);
      if (failure !== undefined && !(cut && failure instanceof RekeyError)) throw failure;
      if (cut && !dialogue.isCut()) throw new Error('the connection ended before it could be cut');
      await promises.check('the cut');
      changed = await works(PENDING);

      for (const each of STEPS) await step(each, versionId);
      if ((await rig.secrets.store.readStage(arn, CURRENT))?.versionId !== versionId)
        throw new Error('I4: all steps ran, and AWSCURRENT did not move');
      await promises.check('the rotation');
      if (await works(PREVIOUS)) throw new Error('AWSPREVIOUS still logs in');
      return dialogue.turns;
    },
  };
}

/** Follows the first connection after `known` ones, and cuts it: of those the server may still be saying goodbye. */
function listen(cut: Cut | undefined, known: number) {
  const turns: Turn[] = [];
  /** The server's since the client's that the cut waits for. */
  const passed = { client: 0, server: 0 };
  let isCut = false;

  /** How many more bytes of this side may pass. */
  function room(from: Chunk['from']): number {
    if (cut === undefined || isCut) return Number.POSITIVE_INFINITY;
    if (from === 'client') return cut.answered === undefined ? cut.sent - passed.client : Number.POSITIVE_INFINITY;
    if (cut.answered === undefined || passed.client < cut.sent) return Number.POSITIVE_INFINITY;
    return cut.answered - passed.server;
  }

  return {
    turns,
    isCut: () => isCut,
    fate({ connection, from, bytes }: Chunk): 'pass' | number {
      if (connection !== known + 1) return 'pass';
      const last = turns.at(-1);
      if (last?.from === from) last.bytes += bytes;
      else turns.push({ from, bytes });
      const left = room(from);
      // In the client's bytes: as the next one comes. In the server's: once the last has passed, for none may come after it.
      if (from === 'client' ? bytes <= left : bytes < left) {
        if (from === 'client') passed.client += bytes;
        else if (cut && passed.client >= cut.sent) passed.server += bytes;
        return 'pass';
      }
      isCut = true;
      return left;
    },
  };
}
