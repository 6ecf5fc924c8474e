import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { account, type Bench, newName, soon, startBench } from './bench.ts';

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('two passwords of one user on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
  });
  afterAll(() => bench?.server.stop());

  /** A rotation that was abandoned: the password in use is the older of two. */
  async function abandoned(options = ''): Promise<string> {
    const user = await bench.newUser(options);
    await bench.mayHaveTwo(user);
    await bench.add(user, 'one', 'abandoned');
    return user;
  }

  test.each(['the user itself', 'an administrator'])('the older goes on when %s adds a third', async (who) => {
    const user = await abandoned();

    expect(await bench.add(user, 'one', 'three', who === 'an administrator' ? bench.admin : undefined)).toBe('added');

    expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['one', 'three']);
  });

  test.each(['the user itself', 'an administrator'])('the older is kept when %s discards the other', async (who) => {
    const user = await abandoned();

    expect(await bench.discard(user, 'one', who === 'an administrator' ? bench.admin : undefined)).toBe('discarded');

    expect(await bench.accepted(user, 'one', 'abandoned')).toEqual(['one']);
  });

  test('the newer is replaced, and the older goes too, when the user that logged in with the older sets one', async () => {
    const user = await abandoned();

    await bench.setPassword(user, 'one', 'three');

    expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['three']);
  });

  test('both go when an administrator sets one', async () => {
    const user = await abandoned();

    await bench.setByAdmin(user, 'three');

    expect(await bench.accepted(user, 'one', 'abandoned', 'three')).toEqual(['three']);
  });

  test('none is pushed out by repeating, over the older login or the newer, with a history of passwords or without', async () => {
    for (const options of ['', 'PASSWORD HISTORY 5']) {
      const user = await abandoned(options);

      expect(await bench.add(user, 'one', 'abandoned')).toBe('alreadyAdded');
      expect(await bench.add(user, 'one', 'abandoned', bench.admin)).toBe('alreadyAdded');

      expect(await bench.accepted(user, 'one', 'abandoned')).toEqual(['one', 'abandoned']);
    }
  });

  test('the older is found out with a history of passwords as well', async () => {
    const user = await bench.newUser('PASSWORD HISTORY 5');
    await bench.mayHaveTwo(user);
    await bench.add(user, 'one', 'two');

    expect(await bench.discard(user, 'two')).toBe('discarded');

    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
  });

  test('an earlier password is refused, and neither is pushed out', async () => {
    const user = await bench.newUser('PASSWORD HISTORY 5');
    await bench.mayHaveTwo(user);
    await bench.setPassword(user, 'one', 'two');
    await bench.add(user, 'two', 'three');

    await expect(bench.add(user, 'three', 'one')).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });

    expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
  });

  test('neither is touched where policies hide which is the older', async () => {
    const user = await bench.newUser('PASSWORD HISTORY 5');
    await bench.mayHaveTwo(user);
    await bench.add(user, 'one', 'Two-is-2-good');
    await bench.run("INSTALL COMPONENT 'file://component_validate_password'");
    try {
      await expect(bench.discard(user, 'Two-is-2-good')).rejects.toMatchObject({ code: 'DATABASE_UNSUPPORTED' });
      expect(await bench.accepted(user, 'one', 'Two-is-2-good')).toHaveLength(2);

      expect(await bench.discard(user, 'Two-is-2-good', bench.admin)).toBe('discarded');
      expect(await bench.accepted(user, 'one', 'Two-is-2-good')).toEqual(['Two-is-2-good']);
    } finally {
      await bench.run("UNINSTALL COMPONENT 'file://component_validate_password'");
    }
  });

  test('one that the server does not know is no present password, and nothing changes', async () => {
    const user = await bench.newUser();
    const refused = { code: 'USERNAME_INVALID', message: expect.stringContaining(account(user)) };

    await expect(bench.add(user, 'wrong', 'two', bench.admin)).rejects.toMatchObject(refused);
    await expect(bench.discard(user, 'wrong', bench.admin)).rejects.toMatchObject(refused);

    expect(await bench.accepted(user, 'one', 'wrong', 'two')).toEqual(['one']);
  });

  test('is not rehearsed by one who may look at users and not change them, and is once the statement was run', async () => {
    const [user, rotator] = [await bench.newUser(), await bench.newUser()];
    await bench.run(`GRANT SELECT ON mysql.* TO ${rotator}`);
    const rehearse = () =>
      bench.engine.dualPassword.rehearse({ acting: bench.as(rotator, 'one'), username: user }, soon());

    const refusal = await rehearse().catch((error: unknown) => error);

    expect(refusal).toMatchObject({ code: 'PRIVILEGE_MISSING', action: expect.stringContaining('CREATE USER') });
    await bench.run((refusal as { action: string }).action.replace(/^.*?: /, '').replace(/;$/, ''));
    await rehearse();
    expect(await bench.add(user, 'one', 'two', bench.as(rotator, 'one'))).toBe('added');
  });

  test('a user without the right gets none, and is told the statement', async () => {
    const user = await bench.newUser();

    expect(await bench.engine.dualPassword.mayKeepOld(bench.as(user, 'one'), soon())).toBe(false);
    await expect(bench.add(user, 'one', 'two')).rejects.toMatchObject({
      code: 'PRIVILEGE_MISSING',
      action: `As a superuser run: GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${account(user)};`,
    });

    expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
  });

  test('a right by way of a role that is no default role is enough', async () => {
    const [user, role] = [await bench.newUser(), newName()];
    await bench.run(
      `CREATE ROLE ${role}`,
      `GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${role}`,
      `GRANT ${role} TO ${user}`,
    );

    expect(await bench.engine.dualPassword.mayKeepOld(bench.as(user, 'one'), soon())).toBe(true);
    expect(await bench.add(user, 'one', 'two')).toBe('added');
  });

  test('no account of the user is changed when one of them does not know the present password', async () => {
    const user = await bench.newUser();
    await bench.run(`CREATE USER ${account(user, '10.%')} IDENTIFIED BY 'other'`);

    await expect(bench.add(user, 'one', 'two', bench.admin)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });

    expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
  });

  test('whoever adds and discards at the same moment never loses the password in use', async () => {
    const user = await bench.newUser();
    await bench.mayHaveTwo(user);
    await bench.add(user, 'one', 'two');
    let asked = () => {};
    const inside = new Promise<void>((resolve) => {
      asked = resolve;
    });
    let answer = (_: boolean) => {};
    const stillWanted = () => {
      asked();
      return new Promise<boolean>((resolve) => {
        answer = resolve;
      });
    };
    const retiring = bench.engine.dualPassword.discardOld(
      { acting: bench.as(user, 'two'), kept: bench.as(user, 'two') },
      stillWanted,
      soon(),
    );
    await inside;
    const adding = bench.add(user, 'two', 'three');
    answer(true);

    expect(await Promise.all([retiring, adding])).toEqual(['discarded', 'added']);
    expect(await bench.accepted(user, 'one', 'two', 'three')).toEqual(['two', 'three']);
  });

  test('the old one is valid until it is discarded, and no longer', async () => {
    const user = await bench.newUser();
    await bench.mayHaveTwo(user);

    expect(await bench.add(user, 'one', 'two')).toBe('added');
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['one', 'two']);

    expect(await bench.discard(user, 'two')).toBe('discarded');
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
    expect(await bench.discard(user, 'two')).toBe('discarded');
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
  });

  test.each(['the user itself', 'an administrator'])(
    '74: the same one, added by %s several times at once, is added once, and pushes the old one never out',
    async (who) => {
      const user = await bench.newUser();
      await bench.mayHaveTwo(user);
      const acting = who === 'an administrator' ? bench.admin : undefined;

      const outcomes = await Promise.all([1, 2, 3, 4].map(() => bench.add(user, 'one', 'two', acting)));

      expect(outcomes.filter((outcome) => outcome === 'added')).toHaveLength(1);
      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one', 'two']);
    },
  );

  test('the old one stays while somebody still needs it', async () => {
    const user = await bench.newUser();
    await bench.mayHaveTwo(user);
    await bench.add(user, 'one', 'two');
    const needed = async () => false;

    for (const acting of [bench.as(user, 'two'), bench.admin])
      expect(await bench.engine.dualPassword.discardOld({ acting, kept: bench.as(user, 'two') }, needed, soon())).toBe(
        'notWanted',
      );

    expect(await bench.accepted(user, 'one', 'two')).toEqual(['one', 'two']);
  });

  describe('an administrator without CREATE USER', () => {
    test('is told the statement, and nothing changes', async () => {
      const user = await bench.newUser();
      const admin = await bench.newUser();
      await bench.run(`GRANT SELECT ON mysql.* TO ${admin}`);
      const remedy = {
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: GRANT CREATE USER ON *.* TO ${account(admin)};`,
      };

      await expect(bench.add(user, 'one', 'two', bench.as(admin, 'one'))).rejects.toMatchObject(remedy);
      await expect(bench.discard(user, 'one', bench.as(admin, 'one'))).rejects.toMatchObject(remedy);

      expect(await bench.accepted(user, 'one', 'two')).toEqual(['one']);
    });
  });
});
