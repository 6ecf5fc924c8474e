import { describe, expect, test } from '@jest/globals';
import { type Decision, evaluate, type Requester } from '../../sandbox/aws/iam/evaluate.ts';
import { parsePolicy } from '../../sandbox/aws/iam/policy.ts';

const ACCOUNT = '111122223333';
const QUEUE = `arn:aws:sqs:eu-west-1:${ACCOUNT}:orders`;
const ROLE: Requester = {
  kind: 'role',
  accountId: ACCOUNT,
  roleArn: `arn:aws:iam::${ACCOUNT}:role/sync`,
  sessionArn: `arn:aws:sts::${ACCOUNT}:assumed-role/sync/session`,
};
const STRANGER: Requester = {
  kind: 'role',
  accountId: '444455556666',
  roleArn: 'arn:aws:iam::444455556666:role/other',
  sessionArn: 'arn:aws:sts::444455556666:assumed-role/other/session',
};
const SERVICE: Requester = { kind: 'service', name: 'events.amazonaws.com' };

const allow = (statement: object) => ({ Effect: 'Allow', Action: 'sqs:SendMessage', Resource: QUEUE, ...statement });
const deny = (statement: object) => allow({ Effect: 'Deny', ...statement });
const documentOf = (...statements: object[]) => ({ Version: '2012-10-17', Statement: statements });

interface Question {
  readonly identity?: readonly object[];
  readonly resource?: readonly object[];
  readonly requester?: Requester;
  readonly action?: string;
  readonly on?: string;
  readonly context?: Readonly<Record<string, string | readonly string[]>>;
  readonly resourceDecides?: boolean;
  readonly version?: string;
}

function decide(question: Question): Decision {
  const { identity = [], resource, requester = ROLE, action = 'sqs:SendMessage', on = QUEUE, context = {} } = question;
  const policyOf = (statements: readonly object[]) =>
    parsePolicy({ ...documentOf(...statements), ...(question.version && { Version: question.version }) });
  return evaluate(
    {
      requester,
      action,
      resource: on,
      resourceAccount: ACCOUNT,
      context: new Map(Object.entries(context).map(([key, value]) => [key.toLowerCase(), [value].flat()])),
    },
    {
      identity: [{ name: 'own', policy: policyOf(identity) }],
      resource: resource && { name: 'of the queue', policy: policyOf(resource) },
      resourceDecides: question.resourceDecides ?? false,
    },
  );
}

const isAllowed = (question: Question) => decide(question).allowed;

describe('IAM User Guide, "Policy evaluation logic":', () => {
  test('by default everything is denied', () => {
    expect(decide({})).toMatchObject({ allowed: false, why: 'nothing allows', where: 'identity-based' });
  });

  test('an Allow of the caller’s own policies is enough within an account', () => {
    expect(isAllowed({ identity: [allow({})] })).toBe(true);
  });

  test('an Allow of the resource’s policy for the caller is enough within an account', () => {
    expect(isAllowed({ resource: [allow({ Principal: { AWS: ROLE.roleArn } })] })).toBe(true);
    expect(isAllowed({ resource: [allow({ Principal: { AWS: ROLE.sessionArn } })] })).toBe(true);
    expect(isAllowed({ resource: [allow({ Principal: '*' })] })).toBe(true);
    expect(isAllowed({ resource: [allow({ Principal: { AWS: `${ROLE.roleArn}-2` } })] })).toBe(false);
  });

  test('an Allow of the resource’s policy for the account hands the decision on to the account’s own policies', () => {
    const resource = [allow({ Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` } })];
    expect(isAllowed({ resource })).toBe(false);
    expect(isAllowed({ resource, identity: [allow({})] })).toBe(true);
  });

  test.each([
    ['its own', { identity: [allow({}), deny({})] }, 'identity-based'],
    ['the resource’s', { identity: [allow({})], resource: [deny({ Principal: '*' })] }, 'resource-based'],
  ])('an explicit Deny of %s policies is stronger than any Allow', (_whose, question, where) => {
    expect(decide(question)).toMatchObject({ allowed: false, why: 'explicit deny', where });
  });

  test('across accounts both sides must allow', () => {
    const resource = [allow({ Principal: { AWS: 'arn:aws:iam::444455556666:root' } })];
    const question = { requester: STRANGER, resource };
    expect(decide(question)).toMatchObject({ allowed: false, where: 'identity-based' });
    expect(decide({ requester: STRANGER, identity: [allow({})] })).toMatchObject({ where: 'resource-based' });
    expect(isAllowed({ ...question, identity: [allow({})] })).toBe(true);
  });

  test('a service has no policies of its own: the resource’s must name it', () => {
    const resource = [allow({ Principal: { Service: 'events.amazonaws.com' } })];
    expect(isAllowed({ requester: SERVICE, resource })).toBe(true);
    expect(decide({ requester: { kind: 'service', name: 'sns.amazonaws.com' }, resource })).toMatchObject({
      allowed: false,
      where: 'resource-based',
    });
    expect(isAllowed({ requester: SERVICE, identity: [allow({})] })).toBe(false);
  });
});

describe('KMS Developer Guide, "Key policies": a key’s own policy decides,', () => {
  const key = `arn:aws:kms:eu-west-1:${ACCOUNT}:key/1`;
  const use = (statement: object) => allow({ Action: 'kms:Decrypt', Resource: '*', ...statement });
  const question = { action: 'kms:Decrypt', on: key, resourceDecides: true };

  test('so that nobody’s own policy is enough', () => {
    expect(isAllowed({ ...question, identity: [use({})] })).toBe(false);
    expect(isAllowed({ ...question, identity: [use({})], resource: [] })).toBe(false);
  });

  test('alone when it names the caller', () => {
    expect(isAllowed({ ...question, resource: [use({ Principal: { AWS: ROLE.roleArn } })] })).toBe(true);
  });

  test('and lets the account’s policies decide when it names the account', () => {
    const resource = [use({ Action: 'kms:*', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` } })];
    expect(decide({ ...question, resource })).toMatchObject({ allowed: false, where: 'identity-based' });
    expect(isAllowed({ ...question, resource, identity: [use({})] })).toBe(true);
  });
});

describe('IAM User Guide, "Action" and "Resource":', () => {
  test.each([
    ['sqs:SendMessage', true],
    ['SQS:sendmessage', true],
    ['sqs:*', true],
    ['sqs:Send*', true],
    ['sqs:SendM?ssage', true],
    ['*', true],
    ['sqs:Send', false],
    ['sns:SendMessage', false],
    ['sqs:SendMessage?', false],
  ])('the action %s: %s, whatever its case', (action, allowed) => {
    expect(isAllowed({ identity: [allow({ Action: [action] })] })).toBe(allowed);
  });

  test.each([
    [QUEUE, true],
    ['*', true],
    [`arn:aws:sqs:*:${ACCOUNT}:orders`, true],
    [`arn:aws:sqs:eu-west-1:${ACCOUNT}:order?`, true],
    [`arn:aws:sqs:eu-west-1:${ACCOUNT}:Orders`, false],
    [`arn:aws:sqs:eu-west-1:${ACCOUNT}:orders-2`, false],
    // The dot is itself, not any character.
    [`arn.aws:sqs:eu-west-1:${ACCOUNT}:orders`, false],
  ])('the resource %s: %s, in its own case', (resource, allowed) => {
    expect(isAllowed({ identity: [allow({ Resource: resource })] })).toBe(allowed);
  });

  test('NotAction and NotResource are everything else', () => {
    expect(isAllowed({ identity: [allow({ Action: undefined, NotAction: 'sqs:DeleteQueue' })] })).toBe(true);
    expect(isAllowed({ identity: [allow({ Action: undefined, NotAction: 'sqs:Send*' })] })).toBe(false);
    expect(isAllowed({ identity: [allow({ Resource: undefined, NotResource: `${QUEUE}-2` })] })).toBe(true);
    expect(isAllowed({ identity: [allow({ Resource: undefined, NotResource: QUEUE })] })).toBe(false);
  });

  test('the decision names the statement, the action and the resource that let the call through', () => {
    const { by } = decide({
      identity: [allow({ Sid: 'Other', Action: 'sqs:GetQueueUrl' }), allow({ Action: 'sqs:*' })],
    });
    expect(by).toMatchObject([{ source: 'own', index: 1, action: 'sqs:*', resource: QUEUE }]);
  });
});

describe('IAM User Guide, "Condition operators":', () => {
  const ARN = `arn:aws:events:eu-west-1:${ACCOUNT}:rule/bus/one`;
  test.each<
    [
      operator: string,
      key: string,
      wanted: string | readonly string[],
      given: string | readonly string[] | undefined,
      boolean,
    ]
  >([
    ['StringEquals', 'aws:SourceAccount', ACCOUNT, ACCOUNT, true],
    ['StringEquals', 'aws:SourceAccount', ['444455556666', ACCOUNT], ACCOUNT, true],
    ['StringEquals', 'aws:SourceAccount', '444455556666', ACCOUNT, false],
    ['StringEquals', 'aws:SourceAccount', ACCOUNT, undefined, false],
    ['StringEqualsIfExists', 'aws:SourceAccount', ACCOUNT, undefined, true],
    ['StringEqualsIfExists', 'aws:SourceAccount', ACCOUNT, '444455556666', false],
    ['StringNotEquals', 'aws:SourceAccount', ACCOUNT, '444455556666', true],
    ['StringNotEquals', 'aws:SourceAccount', ['444455556666', ACCOUNT], ACCOUNT, false],
    // "If the policy condition requires that the key is not matched, and the key is not present, the condition is true."
    ['StringNotEquals', 'aws:SourceAccount', ACCOUNT, undefined, true],
    ['StringEqualsIgnoreCase', 'aws:ResourceTag/team', 'SHOP', 'shop', true],
    ['StringEquals', 'aws:ResourceTag/team', 'SHOP', 'shop', false],
    ['StringLike', 'aws:ResourceTag/team', 'sh*', 'shop', true],
    ['StringLike', 'aws:ResourceTag/team', 's?op', 'shop', true],
    ['StringNotLike', 'aws:ResourceTag/team', 'sh*', 'shop', false],
    ['ArnEquals', 'aws:SourceArn', ARN, ARN, true],
    ['ArnEquals', 'aws:SourceArn', `arn:aws:events:*:${ACCOUNT}:rule/bus/*`, ARN, true],
    ['ArnLike', 'aws:SourceArn', `arn:aws:events:*:${ACCOUNT}:rule/other/*`, ARN, false],
    // "Each of the six colon-delimited components of the ARN is checked separately."
    ['ArnLike', 'aws:SourceArn', 'arn:aws:*', ARN, false],
    ['ArnNotLike', 'aws:SourceArn', ARN, ARN, false],
    ['Bool', 'aws:SecureTransport', 'false', 'true', false],
    ['Bool', 'aws:SecureTransport', 'true', 'true', true],
    ['Bool', 'aws:SecureTransport', 'true', undefined, false],
    ['Null', 'sts:ExternalId', 'true', undefined, true],
    ['Null', 'sts:ExternalId', 'true', 'x', false],
    ['Null', 'sts:ExternalId', 'false', 'x', true],
    ['NumericLessThan', 'aws:ResourceTag/size', '10', '9', true],
    ['NumericLessThan', 'aws:ResourceTag/size', '10', '10', false],
    ['ForAnyValue:StringEquals', 'kms:EncryptionContextKeys', 'SecretARN', ['SecretARN', 'SecretVersionId'], true],
    ['ForAnyValue:StringEquals', 'kms:EncryptionContextKeys', 'SecretARN', undefined, false],
    ['ForAllValues:StringEquals', 'kms:EncryptionContextKeys', 'SecretARN', ['SecretARN', 'SecretVersionId'], false],
    ['ForAllValues:StringEquals', 'kms:EncryptionContextKeys', 'SecretARN', undefined, true],
  ])('%s of %s %j, in the request %j: %s', (operator, key, wanted, given, expected) => {
    const identity = [allow({ Condition: { [operator]: { [key]: wanted } } })];
    expect(isAllowed({ identity, context: given === undefined ? {} : { [key]: given } })).toBe(expected);
  });

  test('all conditions of a statement must hold', () => {
    const Condition = { StringEquals: { 'aws:SourceAccount': ACCOUNT, 'kms:ViaService': 'secretsmanager' } };
    const context = { 'aws:SourceAccount': ACCOUNT };
    expect(isAllowed({ identity: [allow({ Condition })], context })).toBe(false);
    expect(
      isAllowed({ identity: [allow({ Condition })], context: { ...context, 'kms:ViaService': 'secretsmanager' } }),
    ).toBe(true);
  });

  test('the names of keys have no case', () => {
    const Condition = { StringEquals: { 'AWS:sourceaccount': ACCOUNT } };
    expect(isAllowed({ identity: [allow({ Condition })], context: { 'aws:SourceAccount': ACCOUNT } })).toBe(true);
  });

  test('several values without ForAnyValue or ForAllValues are no question that has an answer', () => {
    const identity = [allow({ Condition: { StringEquals: { 'kms:EncryptionContextKeys': 'SecretARN' } } })];
    expect(() => decide({ identity, context: { 'kms:EncryptionContextKeys': ['a', 'b'] } })).toThrow(
      'compares one value',
    );
  });
});

describe('IAM User Guide, "Variables and tags":', () => {
  const Resource = `arn:aws:sqs:eu-west-1:\${aws:PrincipalAccount}:orders`;
  const context = { 'aws:PrincipalAccount': ACCOUNT };

  test('a variable stands for the value in the request, in resources and conditions', () => {
    expect(isAllowed({ identity: [allow({ Resource })], context })).toBe(true);
    expect(isAllowed({ identity: [allow({ Resource })], context: { 'aws:PrincipalAccount': '4' } })).toBe(false);
    const Condition = { StringEquals: { 'aws:ResourceAccount': `\${aws:PrincipalAccount}` } };
    expect(
      isAllowed({ identity: [allow({ Condition })], context: { ...context, 'aws:ResourceAccount': ACCOUNT } }),
    ).toBe(true);
  });

  test('one without a value matches nothing, unless it has a default', () => {
    expect(isAllowed({ identity: [allow({ Resource })] })).toBe(false);
    const withDefault = Resource.replace('}', `, '${ACCOUNT}'}`);
    expect(isAllowed({ identity: [allow({ Resource: withDefault })] })).toBe(true);
  });

  test('before 2012-10-17 it is text', () => {
    expect(isAllowed({ identity: [allow({ Resource })], context, version: '2008-10-17' })).toBe(false);
  });
});

describe('what is not known here is an error, and never passes:', () => {
  const Condition = (operator: string, key = 'aws:SourceAccount') => ({ [operator]: { [key]: '1' } });
  test.each<[what: string, statement: object, message: string]>([
    ['an operator', { Condition: Condition('StringAlmostEquals') }, 'StringAlmostEquals'],
    ['an operator on addresses', { Condition: Condition('IpAddress', 'aws:SourceAccount') }, 'IpAddress'],
    ['Null with IfExists', { Condition: Condition('NullIfExists') }, 'NullIfExists'],
    ['a condition key', { Condition: Condition('StringEquals', 'aws:SourceVpc') }, 'aws:SourceVpc'],
    ['an element', { NotPrincipal: { AWS: '*' } }, 'NotPrincipal'],
    ['a kind of principal', { Principal: { Federated: 'x' } }, 'Principal'],
    ['an effect', { Effect: 'Maybe' }, 'Effect'],
    ['no action at all', { Action: undefined }, 'Action'],
  ])('%s', (_what, statement, message) => {
    expect(() => parsePolicy(documentOf(allow(statement)))).toThrow(message);
  });
});
