import { Lazy } from 'aws-cdk-lib';
import type { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { RotatedSecretProps } from '../config.ts';
import { arnPattern, isTagged, type Place, taggedPattern } from '../secret-reference.ts';
import { acknowledge } from './acknowledge.ts';
import type { ServiceFunction } from './service-function.ts';

/**
 * What rotation and retire may do with secrets and see of their databases. Each statement names the secrets, by ARN or
 * by name; those under a tag by the tag, as a condition.
 */
export class SecretRights {
  readonly #to: ServiceFunction;
  readonly #place: Place;
  readonly #rotationFunctions: () => readonly string[];
  readonly #writes: 'all' | 'standby';
  readonly #statements = new Map<string, PolicyStatement>();
  /** Statement → the secrets that it may use keys for. */
  readonly #keyedSecrets = new Map<string, Set<string>>();

  /**
   * @param rotationFunctions ARNs of the functions that rotate them: the rights on the credentials themselves hold only
   *   while Secrets Manager calls one of those for them (Secrets Manager User Guide, "Lambda function permissions for
   *   rotation"), so a secret that moves to another rotation takes them along.
   * @param writes `all`: it stores and labels versions; `standby`: it stores the next login of the second user of a pair
   */
  constructor(
    to: ServiceFunction,
    place: Place,
    rotationFunctions: () => readonly string[],
    writes: 'all' | 'standby',
  ) {
    this.#to = to;
    this.#place = place;
    this.#rotationFunctions = rotationFunctions;
    this.#writes = writes;
  }

  add(secret: RotatedSecretProps): void {
    const stores = this.#writes === 'standby' && secret.strategy === 'user-pair';
    const own =
      this.#writes === 'all' ? { sid: 'Rotate', actions: [...READ, ...LABEL] } : { sid: 'Read', actions: READ };
    const pattern = isTagged(secret) ? taggedPattern(this.#place) : arnPattern(secret, this.#place);
    const condition = isTagged(secret) ? { [`aws:ResourceTag/${secret.tag.key}`]: secret.tag.value } : undefined;
    this.#allowWhileRotated(`${own.sid}TheSecrets`, own.actions, pattern, condition);
    if (stores) this.#allowWhileRotated('StoreTheNextLogin', ['secretsmanager:PutSecretValue'], pattern, condition);
    if (condition !== undefined)
      acknowledge(
        this.#to.role,
        `IAM5[Resource::${pattern}]`,
        'IAM names secrets by a tag in a condition alone. The statement holds for those with the tag, and only while this function rotates them.',
      );

    const admin = secret.admin && arnPattern(secret.admin, this.#place);
    if (admin !== undefined) this.#allow('ReadTheAdministrators', READ, admin);
    for (const database of secret.databaseArns ?? [])
      if (database.includes(':db:')) this.#allow('FindTheDatabaseInstances', ['rds:DescribeDBInstances'], database);
      else this.#allow('FindTheDatabaseClusters', ['rds:DescribeDBClusters'], database);
    if (secret.databaseArns !== undefined) this.#to.reachApi('rds');

    for (const key of secret.kmsKeyArns ?? []) {
      if (this.#writes === 'all') this.#allowKey('UseTheirKeys', [DECRYPT, ENCRYPT], key, [pattern, admin]);
      else this.#allowKey('UseTheirKeys', [DECRYPT], key, [pattern, admin]);
      if (stores) this.#allowKey('UseTheirKeysToStore', [ENCRYPT], key, [pattern]);
    }
  }

  #allowWhileRotated(sid: string, actions: readonly string[], resource: string, tag: object | undefined): void {
    const rotation = Lazy.any({ produce: () => oneOrMore(this.#rotationFunctions()) });
    const conditions = { StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': rotation, ...tag } };
    this.#allow(
      sid + (tag === undefined ? '' : `Tagged${this.#numberOf(JSON.stringify(tag))}`),
      actions,
      resource,
      conditions,
    );
  }

  /** A statement of that name, made at its first use: further secrets join it, because the size of a policy is limited. */
  #allow(sid: string, actions: readonly string[], resource: string, conditions?: object): void {
    const known = this.#statements.get(sid);
    if (known === undefined) this.#statements.set(sid, this.#to.allow(sid, actions, [resource], conditions));
    else if (!known.resources.includes(resource)) known.addResources(resource);
  }

  /** Secrets Manager puts the secret's ARN into every call's encryption context: the key then opens these alone. */
  #allowKey(sid: string, actions: readonly string[], key: string, patterns: readonly (string | undefined)[]): void {
    const secrets = this.#keyedSecrets.get(sid) ?? new Set();
    this.#keyedSecrets.set(sid, secrets);
    for (const pattern of patterns) if (pattern !== undefined) secrets.add(pattern);
    this.#allow(sid, actions, key, {
      StringEquals: { 'kms:ViaService': `secretsmanager.${this.#place.region}.amazonaws.com` },
      StringLike: { 'kms:EncryptionContext:SecretARN': Lazy.any({ produce: () => oneOrMore([...secrets]) }) },
    });
  }

  readonly #tags: string[] = [];
  /** Statements of one tag share a number. */
  #numberOf(tag: string): number {
    if (!this.#tags.includes(tag)) this.#tags.push(tag);
    return this.#tags.indexOf(tag) + 1;
  }
}

const READ = ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'];
const DECRYPT = 'kms:Decrypt';
const ENCRYPT = 'kms:GenerateDataKey';
const LABEL = ['secretsmanager:PutSecretValue', 'secretsmanager:UpdateSecretVersionStage'];

/** As CloudFormation prints it: one value needs no list. */
const oneOrMore = (values: readonly string[]) => (values.length === 1 ? values[0] : values);
