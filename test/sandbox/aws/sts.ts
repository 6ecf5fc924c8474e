import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { handleWith, operation } from './operation.ts';
import { AwsError, type AwsService } from './service.ts';

/** Temporary credentials of a role session, as SDK clients take them. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface RoleSession {
  readonly credentials: Credentials;
  /** Of the function whose code got them, if that is who got them. */
  readonly functionArn: string | undefined;
  readonly accountId: string;
  readonly roleName: string;
  readonly roleArn: string;
  /** `arn:aws:sts::…:assumed-role/ROLE/SESSION` */
  readonly arn: string;
  /** `AROA…:SESSION` */
  readonly userId: string;
  readonly expiresAt: Date;
}

export interface Sts extends AwsService {
  /** A new session of the role, without asking anybody. @param functionArn whose code gets the credentials */
  assume(roleArn: string, sessionName: string, functionArn?: string): RoleSession;
  /** Who signs with this access key, if the sandbox gave it out. */
  session(accessKeyId: string): RoleSession | undefined;
}

const DEFAULT_SECONDS = 3_600;
/** The account, and the name behind any path. */
const ROLE_ARN = /^arn:aws:iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/;

/** What IAM asks about. Anything may be missing: the operation itself says what is wrong. */
const assumeSchema = z.object({
  RoleArn: z.string().default('*'),
  ExternalId: z.string().optional(),
  RoleSessionName: z.string().optional(),
});

/** Simulated STS: only credentials from here are known. Who may assume a role, IAM says where it is enforced. */
export function createSts({ now }: { readonly now: () => number }): Sts {
  const sessions = new Map<string, RoleSession>();

  function assume(
    roleArn: string,
    sessionName: string,
    functionArn: string | undefined,
    seconds = DEFAULT_SECONDS,
  ): RoleSession {
    const credentials = {
      accessKeyId: `ASIA${randomId()}`,
      secretAccessKey: randomBytes(30).toString('base64'),
      sessionToken: randomBytes(96).toString('base64'),
    };
    const [, accountId = '', roleName = ''] = ROLE_ARN.exec(roleArn) ?? [];
    const session = {
      credentials,
      functionArn,
      accountId,
      roleName,
      roleArn,
      arn: `arn:aws:sts::${accountId}:assumed-role/${roleName}/${sessionName}`,
      userId: `AROA${randomId()}:${sessionName}`,
      expiresAt: new Date(now() + seconds * 1_000),
    };
    sessions.set(credentials.accessKeyId, session);
    return session;
  }

  const operations = {
    GetCallerIdentity: operation(z.object({}), (_input, { accessKeyId }) => {
      const session = sessions.get(accessKeyId);
      if (!session)
        throw new AwsError('InvalidClientTokenId', 'The security token included in the request is invalid.', 403);
      return { UserId: session.userId, Account: session.accountId, Arn: session.arn };
    }),
    AssumeRole: operation(
      z.object({
        RoleArn: z.string().regex(ROLE_ARN),
        RoleSessionName: z.string().regex(/^[\w+=,.@-]{2,64}$/),
        ExternalId: z.string().optional(),
        DurationSeconds: z.coerce.number().int().min(900).max(43_200).default(DEFAULT_SECONDS),
      }),
      ({ RoleArn, RoleSessionName, DurationSeconds }) => {
        const { credentials, arn, userId, expiresAt } = assume(RoleArn, RoleSessionName, undefined, DurationSeconds);
        return {
          Credentials: {
            AccessKeyId: credentials.accessKeyId,
            SecretAccessKey: credentials.secretAccessKey,
            SessionToken: credentials.sessionToken,
            Expiration: expiresAt,
          },
          AssumedRoleUser: { Arn: arn, AssumedRoleId: userId },
        };
      },
      'ValidationError',
    ),
  };

  return {
    name: 'sts',
    protocols: [{ kind: 'query', xmlNamespace: 'https://sts.amazonaws.com/doc/2011-06-15/' }],
    handle: handleWith(operations),
    denial: { code: 'AccessDenied', status: 403 },
    needs(name, input) {
      // GetCallerIdentity API: "No permissions are required", not even an explicit Deny keeps from it.
      if (name === 'GetCallerIdentity') return [];
      const { RoleArn, ExternalId, RoleSessionName } = assumeSchema.parse(input ?? {});
      const context = { 'sts:ExternalId': ExternalId, 'sts:RoleSessionName': RoleSessionName };
      return [{ action: `sts:${name}`, resource: RoleArn, context }];
    },
    assume: (roleArn, sessionName, functionArn) => assume(roleArn, sessionName, functionArn),
    session: (accessKeyId) => sessions.get(accessKeyId),
  };
}

/** Sixteen characters, as in AWS's unique ids. */
function randomId(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from(randomBytes(16), (byte) => alphabet[byte % alphabet.length]).join('');
}
