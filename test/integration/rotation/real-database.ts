import { randomBytes } from 'node:crypto';
import { createPostgresEngine } from '../../../shared/engines/postgres.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import type { RotationDeps, StepOutcome } from '../../../shared/rotation/steps.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { type PostgresServer, type PostgresVersion, startPostgres } from '../../sandbox/postgres.ts';
import { createRig, type Rig } from '../../unit/shared/rotation/rig.ts';

/** A real server that writes every statement to its log. */
export async function startLoggingPostgres(version: PostgresVersion): Promise<PostgresServer> {
  return await startPostgres({ version, settings: { log_statement: 'all', log_min_duration_statement: '0' } });
}

/** One application with a user of its own, a table, and a secret, all on the given server. */
export interface Application {
  readonly rig: Rig;
  readonly username: string;
  readonly arn: string;
  beginRotation(): string;
  run(step: Step, token: string, over?: Partial<RotationDeps>): Promise<StepOutcome>;
  /** A whole rotation. @returns what its steps did */
  rotate(): Promise<StepOutcome['kind'][]>;
  login(stage: string): Promise<{ username: string; password: string } | undefined>;
  /** Whether the server lets the login of this label in, to read the application's table. */
  works(stage: string): Promise<boolean>;
  /** Every password that this application's secret has ever held. */
  passwords(): readonly string[];
}

let applications = 0;

export async function createApplication(
  server: PostgresServer,
  strategy: 'single-user' | 'alternating-users',
  name = 'app',
): Promise<Application> {
  applications += 1;
  const username = `${name}${applications}`;
  const password = `first-${randomBytes(8).toString('hex')}`;
  const quoted = `"${username.replaceAll('"', '""')}"`;
  const admin = await server.connect(server.admin);
  await admin.query(`CREATE ROLE ${quoted} LOGIN`).finally(() => admin.end());
  const superuser = await server.connect(server.superuser);
  try {
    // Not logged, so that whatever the log shows of a password is Rekey's doing.
    await superuser.query(`SET log_statement = 'none'`);
    await superuser.query('SET log_min_duration_statement = -1');
    await superuser.query(`ALTER ROLE ${quoted} PASSWORD '${password}'`);
    await superuser.query('CREATE TABLE IF NOT EXISTS public.orders (id int)');
    await superuser.query(`ALTER TABLE public.orders OWNER TO ${server.admin.username}`);
    await superuser.query(`GRANT SELECT ON public.orders TO ${quoted}`);
  } finally {
    await superuser.end();
  }

  const engine = createPostgresEngine({ clock: systemClock, ca: server.ca, allowLoopback: true });
  const rig = createRig(engine);
  const at = { engine: 'postgres', host: server.host, port: server.port };
  const masterarn = rig.secrets.create('admin', JSON.stringify({ ...at, ...server.admin }), {
    'rekey:admin-for': 'app/db',
  });
  const arn = rig.secrets.create(
    'app/db',
    JSON.stringify({ ...at, username, password, ...(strategy === 'alternating-users' && { masterarn }) }),
    // Its alternating users can become each other: it takes a person's word.
    server.version < 16 ? { 'rekey:accept': 'take-over' } : {},
  );

  const login: Application['login'] = async (stage) => {
    const staged = await rig.secrets.store.readStage(arn, stage);
    return staged && JSON.parse(staged.value.expose());
  };
  const application: Application = {
    rig,
    username,
    arn,
    login,
    beginRotation: () => rig.secrets.beginRotation(arn),
    run: (step, token, over) => rig.run(step, arn, token, over),
    async rotate() {
      const token = application.beginRotation();
      const kinds: StepOutcome['kind'][] = [];
      for (const step of STEPS) kinds.push((await application.run(step, token)).kind);
      return kinds;
    },
    async works(stage) {
      const account = await login(stage);
      return account !== undefined && (await canRead(server, account));
    },
    passwords: () =>
      [...rig.secrets.secret(arn).versions.values()].flatMap(({ value }) =>
        value === undefined ? [] : [JSON.parse(value).password],
      ),
  };
  if (!(await application.works(CURRENT))) throw new Error('the application cannot use its own database');
  return application;
}

/** @throws what is not the server's refusal of the password or of the right to log in */
export async function canRead(
  server: PostgresServer,
  account: { readonly username: string; readonly password: string },
): Promise<boolean> {
  let client: Awaited<ReturnType<PostgresServer['connect']>>;
  try {
    client = await server.connect(account);
  } catch (error) {
    if (/^28/.test(String((error as { code?: unknown }).code))) return false;
    throw error;
  }
  try {
    await client.query('SELECT count(*) FROM public.orders');
    return true;
  } finally {
    await client.end();
  }
}
