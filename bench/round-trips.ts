import { startTcpProxy } from '../test/sandbox/tcp-proxy.ts';

export interface Traffic {
  /** Connections that were opened: one round trip each for TCP, which is part of `roundTrips`. */
  readonly connections: number;
  /** How often a client spoke and then had to wait for the server. */
  readonly roundTrips: number;
  /** From a client's last byte to the first byte of the answer, summed up. TCP's own are not in it. */
  readonly ms: number;
}

/** Stands before a server and counts what a client waits for, whatever the protocol, TLS or not. */
export interface RoundTripMeter {
  readonly port: number;
  /** What passed since it was last asked. */
  take(): Traffic;
  close(): Promise<void>;
}

interface Connection {
  /** When the client sent its last byte, while nothing was answered yet. */
  askedAtMs: number | undefined;
  /** One side has said goodbye: nobody waits for what the other still sends (TLS's close_notify, MySQL's last word). */
  over: boolean;
}

export async function startRoundTripMeter(serverPort: number): Promise<RoundTripMeter> {
  const proxy = await startTcpProxy(serverPort);
  const connections = new Map<number, Connection>();
  let seen = { connections: 0, roundTrips: 0, ms: 0 };

  proxy.onTraffic(({ connection: id, from, what }) => {
    let connection = connections.get(id);
    if (!connection) {
      connection = { askedAtMs: undefined, over: false };
      connections.set(id, connection);
      seen.connections += 1;
      seen.roundTrips += 1;
    }
    if (what === 'end') {
      // Kept in the list, or what the other side says afterwards would count as a new connection.
      connection.over = true;
    } else if (from === 'client') {
      connection.askedAtMs = performance.now();
    } else if (connection.askedAtMs !== undefined && !connection.over) {
      seen.roundTrips += 1;
      seen.ms += performance.now() - connection.askedAtMs;
      connection.askedAtMs = undefined;
    }
  });

  return {
    port: proxy.port,
    take() {
      const taken = seen;
      seen = { connections: 0, roundTrips: 0, ms: 0 };
      return taken;
    },
    close: () => proxy.close(),
  };
}
