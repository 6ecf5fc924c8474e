import { CURRENT, PREVIOUS, type SecretDescription } from '../../../shared/secrets/port.ts';
import type { AwsSecrets } from '../../sandbox/kubernetes/controllers/external-secrets/provider.ts';
import { versionOf } from '../../unit/functions/sync/messages.ts';

/** A secret in memory whose value tells the version: `{"version": "<versionId>"}`. */
export class MovingSecret {
  readonly name: string;
  tags: ReadonlyMap<string, string> = new Map();
  /** Reads answer with the version before: Secrets Manager is eventually consistent. */
  isStale = false;
  #number = 1;

  constructor(name: string) {
    this.name = name;
  }

  get arn(): string {
    return `arn:aws:secretsmanager:eu-west-1:111122223333:secret:${this.name}-AbCdEf`;
  }

  /** The versionId of AWSCURRENT. */
  get current(): string {
    return versionOf(this.#number);
  }

  /** The versionId that a read by AWSCURRENT answers with. */
  get read(): string {
    return this.isStale ? versionOf(this.#number - 1) : this.current;
  }

  /** AWSCURRENT moves to the next version. */
  move(): void {
    this.#number += 1;
  }

  moveBack(): void {
    this.#number -= 1;
  }

  get description(): SecretDescription {
    const before = versionOf(this.#number === 1 ? 2 : this.#number - 1);
    return {
      arn: this.arn,
      name: this.name,
      rotationEnabled: true,
      rotationFunction: undefined,
      stages: new Map([
        [this.current, [CURRENT]],
        [before, [PREVIOUS]],
      ]),
      tags: this.tags,
      owningService: undefined,
      deletedAtMs: undefined,
    };
  }
}

/** All secrets of the account, in memory. */
export class Account implements AwsSecrets {
  readonly #secrets: MovingSecret[] = [];

  create(name: string): MovingSecret {
    const secret = new MovingSecret(name);
    this.#secrets.push(secret);
    return secret;
  }

  readonly read: AwsSecrets['read'] = async ({ secretId, versionId }) => {
    const found = this.#secrets.find(({ name, arn }) => secretId === name || secretId === arn);
    if (found === undefined) throw Object.assign(new Error('no such secret'), { name: 'ResourceNotFoundException' });
    const version = versionId ?? found.read;
    return { versionId: version, value: JSON.stringify({ version }) };
  };

  readonly list: AwsSecrets['list'] = async () => this.#secrets.map(({ name, tags }) => ({ name, tags }));
}
