import { AwsError } from '../service.ts';
import type { Secret } from './secret.ts';

/** What reads look at: the present, or for one that is stale what each secret was before its last write. */
export interface View {
  all(): readonly Secret[];
  /** @param secretId a name, an ARN, or an ARN without its random suffix */
  lookUp(secretId: string): Secret | undefined;
  /** @throws AwsError ResourceNotFoundException */
  find(secretId: string): Secret;
}

export interface Store {
  readonly present: View;
  readonly stale: View;
  write(before: Secret | undefined, after: Secret | undefined): void;
}

/** Secrets in memory. A secret whose recovery window is over is gone. */
export function createStore(now: () => number): Store {
  const entries = new Map<string, { readonly present: Secret | undefined; readonly stale: Secret | undefined }>();

  const viewOf = (side: 'present' | 'stale'): View => {
    const all = () =>
      [...entries.values()].flatMap((entry) => {
        const secret = entry[side];
        return secret && (secret.deletedAtMs ?? Number.POSITIVE_INFINITY) > now() ? [secret] : [];
      });
    const lookUp = (secretId: string) => {
      const secrets = all();
      return (
        secrets.find(({ arn, name }) => arn === secretId || name === secretId) ??
        secrets.find(({ arn }) => arn.slice(0, -'-xxxxxx'.length) === secretId)
      );
    };
    return {
      all,
      lookUp,
      find(secretId) {
        const found = lookUp(secretId);
        if (found) return found;
        throw new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
      },
    };
  };

  return {
    present: viewOf('present'),
    stale: viewOf('stale'),
    write(before, after) {
      const arn = after?.arn ?? before?.arn;
      if (arn !== undefined) entries.set(arn, { present: after, stale: before });
    },
  };
}
