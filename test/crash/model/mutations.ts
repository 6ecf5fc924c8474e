import type { StrategyName } from '../../../shared/rotation/strategy.ts';

/** A mistake that somebody could make in the rotation, and the promise that must be seen to break. */
export interface Mutation {
  readonly mistake: string;
  readonly breaks: string;
  readonly strategy: StrategyName;
  /** Seen where others run at the same time, and not by any fault. */
  readonly interleaved?: true;
  /** In files of shared/rotation: what stands there, and what would stand there by mistake. */
  readonly edits: readonly { readonly file: string; readonly from: string; readonly to: string }[];
}

export const MUTATIONS: readonly Mutation[] = [
  {
    mistake: 'the pending label is withdrawn after any error',
    breaks: 'I1',
    strategy: 'single-user',
    edits: [
      {
        file: 'steps.ts',
        from: "if (!hasCode(error, 'PASSWORD_REJECTED')) throw error;",
        to: 'if (!(error instanceof RekeyError)) throw error;',
      },
      { file: 'steps.ts', from: "if (login?.kind === 'accepted') return { kind: 'alreadySet' };", to: '' },
    ],
  },
  {
    mistake: 'AWSCURRENT moves without one more login',
    breaks: 'I2',
    strategy: 'single-user',
    edits: [{ file: 'steps.ts', from: 'await requireLogin(rotation, pending);', to: '' }],
  },
  {
    mistake: 'a standby password is set that another attempt has not stored',
    breaks: 'I3',
    strategy: 'user-pair',
    edits: [{ file: 'user-pair.ts', from: 'readLogin(theirs.value,', to: 'readLogin(value,' }],
  },
  {
    mistake: 'a password that an earlier attempt has set is not recognised',
    breaks: 'I4',
    strategy: 'single-user',
    edits: [{ file: 'single-user.ts', from: "if (login.kind === 'accepted') return 'alreadySet';", to: '' }],
  },
  {
    mistake: 'the second password takes the place of the first',
    breaks: 'I5',
    strategy: 'dual-password',
    edits: [
      {
        file: 'dual-password.ts',
        from: 'engine.addPassword({ acting, username, password, present: current }, stillWanted, deadline),',
        to: "rotation.engine.setPassword({ acting, username, password }, deadline).then(() => 'added' as const),",
      },
    ],
  },
  {
    mistake: 'a user that logs in is taken for prepared, and its rights are not compared',
    breaks: 'I6',
    strategy: 'alternating-users',
    edits: [
      {
        file: 'alternating-users.ts',
        from: "return (await asAdministrator(rotation, prepare, known)) === 'prepared' ? 'set' : 'notWanted';",
        to: "if ((await rotation.engine.login(pending, rotation.deadline)).kind === 'refused') await asAdministrator(rotation, prepare, known); return 'set';",
      },
      {
        file: 'alternating-users.ts',
        from: "if (engine.observer === 'either-user')",
        to: 'return requireLogin(rotation, pending, witness); if (engine.observer)',
      },
    ],
  },
  {
    mistake: 'an error tells the password',
    breaks: 'I7',
    strategy: 'single-user',
    edits: [
      {
        file: 'strategy.ts',
        from: 'pendingRefused = ({ username }: Credentials',
        to: 'pendingRefused = ({ username, password }: Credentials',
      },
      {
        file: 'strategy.ts',
        from: "'PENDING_REFUSED',",
        to: "'PENDING_REFUSED', password.expose() +",
      },
    ],
  },
  {
    mistake: 'another user is taken for the alternate one',
    breaks: 'I8',
    strategy: 'alternating-users',
    edits: [{ file: 'alternating-users.ts', from: "const SUFFIX = '_clone';", to: "const SUFFIX = '_other';" }],
  },
  {
    mistake: "the administrator's secret loses its label",
    breaks: 'I9',
    strategy: 'alternating-users',
    edits: [
      {
        file: 'administrator.ts',
        from: 'return await work(first.login);',
        to: 'const done = await work(first.login); await rotation.store.withdrawLabel(rotation.current.masterArn, CURRENT, first.versionId); return done;',
      },
    ],
  },
  {
    mistake: 'each attempt at a retirement stores another version',
    breaks: 'I10',
    strategy: 'user-pair',
    edits: [{ file: 'user-pair.ts', from: '[what, currentVersion,', to: '[what, currentVersion, Math.random(),' }],
  },
  {
    mistake: 'an event calms people whose clients are refused',
    breaks: 'I11',
    strategy: 'single-user',
    edits: [{ file: 'steps.ts', from: 'if (strategy?.hasGap === false) return', to: 'return' }],
  },
  {
    mistake: 'an event says nothing of the gap',
    breaks: 'I11',
    strategy: 'single-user',
    edits: [{ file: 'steps.ts', from: '...(strategy.hasGap && { gap }),', to: '' }],
  },
  {
    mistake: 'the previous user is said to be retired, and nothing was done',
    breaks: 'I12',
    strategy: 'alternating-users',
    edits: [
      {
        file: 'alternating-users.ts',
        from: 'await engine.disableAlternate(pair, stillWanted, deadline);',
        to: "{ kind: 'disabled' };",
      },
    ],
  },
  {
    mistake: 'a retirement does not ask again before it takes the login from a user',
    breaks: 'I5',
    strategy: 'alternating-users',
    interleaved: true,
    edits: [
      {
        file: 'alternating-users.ts',
        from: 'engine.disableAlternate(pair, stillWanted,',
        to: 'engine.disableAlternate(pair, async () => true,',
      },
    ],
  },
  {
    mistake: 'a step that was held up does not ask again before it prepares the other user',
    breaks: 'I5',
    strategy: 'alternating-users',
    interleaved: true,
    edits: [
      {
        file: 'alternating-users.ts',
        from: 'pending.password, stillWanted,',
        to: 'pending.password, async () => true,',
      },
    ],
  },
  {
    mistake: 'a step that was held up does not ask again before it adds a password',
    breaks: 'I5',
    strategy: 'dual-password',
    interleaved: true,
    edits: [
      {
        file: 'dual-password.ts',
        from: 'present: current }, stillWanted,',
        to: 'present: current }, async () => true,',
      },
    ],
  },
  {
    mistake: 'a retirement does not ask again before it discards a password',
    breaks: 'I5',
    strategy: 'dual-password',
    interleaved: true,
    edits: [
      {
        file: 'dual-password.ts',
        from: 'kept: current }, stillWanted,',
        to: 'kept: current }, async () => true,',
      },
    ],
  },
];
