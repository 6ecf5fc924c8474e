import { AwsError } from '../service.ts';
import type { Secret } from './secret.ts';

export interface Filter {
  readonly Key: string;
  readonly Values: readonly string[];
}

/** Filters of ListSecrets and BatchGetSecretValue: all of them must match, each by any of its values. */
export function matchesFilters(secret: Secret, filters: readonly Filter[], region: string): boolean {
  return filters.every(({ Key, Values }) =>
    Values.some((value) =>
      value.startsWith('!') ? !matches(secret, Key, value.slice(1), region) : matches(secret, Key, value, region),
    ),
  );
}

/** Filter, Key: a prefix match, which respects case except for `description` and `all`. */
function matches(secret: Secret, key: string, value: string, region: string): boolean {
  switch (key) {
    case 'name':
      return secret.name.startsWith(value);
    case 'description':
      return (secret.description ?? '').toLowerCase().startsWith(value.toLowerCase());
    case 'tag-key':
      return secret.tags.some((tag) => tag.Key.startsWith(value));
    case 'tag-value':
      return secret.tags.some((tag) => tag.Value.startsWith(value));
    case 'primary-region':
      return region.startsWith(value);
    case 'owning-service':
      return (secret.owningService ?? '').startsWith(value);
    default: {
      const attributes = [secret.name, secret.description, secret.owningService, ...secret.tags.flatMap(Object.values)];
      const text = attributes.join(' ').toLowerCase();
      return value
        .toLowerCase()
        .split(/\s+/)
        .every((word) => text.includes(word));
    }
  }
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly NextToken: string | undefined;
}

/** @param token the NextToken of the page before. @throws AwsError InvalidNextTokenException */
export function pageOf<Item>(all: readonly Item[], size: number, token: string | undefined): Page<Item> {
  const start = token === undefined ? 0 : Number(Buffer.from(token, 'base64url').toString());
  if (!Number.isInteger(start) || start < 0 || start > all.length || token === '')
    throw new AwsError('InvalidNextTokenException', 'The NextToken value is invalid.');
  const end = start + size;
  return {
    items: all.slice(start, end),
    NextToken: end < all.length ? Buffer.from(String(end)).toString('base64url') : undefined,
  };
}
