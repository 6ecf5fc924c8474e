/** What a kind of database asks of the JSON of a secret, without talking to one. */
export interface EngineRules {
  /** The `engine` values that AWS's own rotation functions accept for it. */
  readonly engines: readonly string[];
  readonly defaultPort: number;
  /** Empty: a session need not name one. */
  readonly defaultDatabase: string;
  /** The server cuts longer names silently, and would then change another user; or refuses them half-way. */
  readonly maxNameBytes: number;
  /** Users that the platform keeps for itself. */
  readonly reservedUser: RegExp;
  /** Characters that a generated password never has. */
  readonly excludeCharacters: string;
}

/** The default of AWS's functions: these end a connection URL's password or need quoting in a shell. */
const AWKWARD = '/@"\'\\';

export const POSTGRES: EngineRules = {
  engines: ['postgres', 'aurora-postgresql'],
  defaultPort: 5432,
  defaultDatabase: 'postgres',
  maxNameBytes: 63, // NAMEDATALEN - 1
  // To grant something to the role "public" would grant it to everybody, quotes or not.
  reservedUser: /^(pg_.*|public|none|rds_superuser|rdsadmin)$/,
  excludeCharacters: `${AWKWARD}:`,
};

export const MYSQL: EngineRules = {
  engines: ['mysql', 'aurora-mysql'],
  defaultPort: 3306,
  defaultDatabase: '',
  maxNameBytes: 32, // characters, in truth: a name of fewer bytes has no more characters
  reservedUser: /^(mysql\.(sys|session|infoschema)|rdsadmin|rdsrepladmin)$/i,
  excludeCharacters: AWKWARD,
};

export const MARIADB: EngineRules = {
  engines: ['mariadb'],
  defaultPort: 3306,
  defaultDatabase: '',
  maxNameBytes: 80, // what AWS's functions allow; MariaDB itself takes 128
  reservedUser: /^(mariadb\.sys|rdsadmin|rdsrepladmin|public)$/i,
  excludeCharacters: AWKWARD,
};

export const REDIS: EngineRules = {
  engines: ['redis', 'valkey'],
  defaultPort: 6379,
  defaultDatabase: '0',
  maxNameBytes: 128,
  reservedUser: /^$/,
  excludeCharacters: AWKWARD,
};
