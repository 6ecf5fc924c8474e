import type { DatabaseSecret, ParsedSecret } from '../../../../shared/secrets/database-secret.ts';

/** A secret that names its host itself, as the login there. */
export function located(parsed: ParsedSecret): DatabaseSecret {
  if (parsed.place.kind !== 'address') throw new Error('this secret leaves its host to RDS');
  const { host, port } = parsed.place;
  return { ...parsed, host, port };
}
