import type { StrategyName } from '../../shared/rotation/strategy.ts';

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly dbname?: string;
  readonly username: string;
  readonly password: string;
}

/** One kind of database with its driver and nothing around it. */
export interface FloorDriver {
  /** Logs in, with TLS whose certificate is verified. */
  open(login: Login, ca: string): Promise<FloorSession>;
  /** The one statement that a strategy comes down to, for a user that exists. */
  change(strategy: StrategyName, username: string, password: string): string;
  /** Any question that takes one round trip. */
  readonly look: string;
}

export interface FloorSession {
  /** One round trip. */
  run(statement: string): Promise<void>;
  close(): Promise<void>;
}
