/** What a kind of database asks of the JSON of a secret, without talking to one. */
export interface EngineRules {
  /** The `engine` values that AWS's own rotation functions accept for it. */
  readonly engines: readonly string[];
  readonly defaultPort: number;
  readonly defaultDatabase: string;
  /** The server cuts longer names silently, and would then change another user. */
  readonly maxNameBytes: number;
  /** Users that the platform keeps for itself. */
  readonly reservedUser: RegExp;
  /** Characters that a generated password never has. */
  readonly excludeCharacters: string;
}

export const POSTGRES: EngineRules = {
  engines: ['postgres', 'aurora-postgresql'],
  defaultPort: 5432,
  defaultDatabase: 'postgres',
  maxNameBytes: 63, // NAMEDATALEN - 1
  reservedUser: /^(pg_.*|rds_superuser|rdsadmin)$/,
  // The default of AWS's functions: these end a connection URL's password or need quoting in a shell.
  excludeCharacters: '/@"\'\\:',
};
