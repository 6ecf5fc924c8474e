import { describe, expect, test } from '@jest/globals';
import { resolveHost } from '../../../../shared/engines/host-address.ts';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';

const resolve = (host: string, allowLoopback = false) =>
  resolveHost(host, allowLoopback, deadlineIn(10_000, systemClock));

describe('32: the address of a host', () => {
  test.each([
    '169.254.169.254',
    '169.254.170.2',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    'fe80::1',
    'fd00:ec2::254',
    'ff02::1',
    '::ffff:169.254.169.254',
  ])('%s is never that of a database', async (address) => {
    await expect(resolve(address, true)).rejects.toMatchObject({ code: 'HOST_NOT_ALLOWED', retryable: false });
  });

  test.each(['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', 'localhost'])(
    '%s is loopback: refused unless allowed',
    async (host) => {
      await expect(resolve(host)).rejects.toMatchObject({
        code: 'HOST_NOT_ALLOWED',
        message: expect.stringContaining(`${host} resolves to`),
      });
      await expect(resolve(host, true)).resolves.toBeDefined();
    },
  );

  test.each(['10.0.0.5', '172.31.0.9', '192.168.1.7', 'fd12:3456::1'])(
    '%s is private: where RDS lives',
    async (address) => {
      expect(await resolve(address)).toBe(address);
    },
  );

  test('is IPv4 where there is a choice', async () => {
    expect(await resolve('localhost', true)).toBe('127.0.0.1');
  });

  test.each(['/var/run/postgresql', 'a.example,b.example', 'db@evil.invalid', 'evil#.invalid', 'x'.repeat(300)])(
    '%s has none',
    async (host) => {
      await expect(resolve(host)).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    },
  );
});
