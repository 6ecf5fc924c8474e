import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Some bytes on their way. */
export interface Chunk {
  readonly connection: number;
  readonly from: 'client' | 'server';
  readonly bytes: number;
}

/** Asked for every chunk: `drop` loses it and cuts both sides of its connection; a number lets so many bytes pass before. */
export type ChunkFate = (chunk: Chunk) => 'pass' | 'drop' | number;

/** What one side of one connection did: it sent bytes, or had no more to say. */
export interface Traffic {
  readonly connection: number;
  readonly from: 'client' | 'server';
  readonly what: 'bytes' | 'end';
  /** How many. */
  readonly bytes: number;
}

/** Stands on loopback between clients and a server, and sees when bytes travel, not what they say. */
export interface TcpProxy {
  readonly port: number;
  /** How many were opened so far, whether or not anything was said. */
  connections(): number;
  /** Undefined lets everything pass. */
  onChunk(fate: ChunkFate | undefined): void;
  /** Undefined tells nobody. */
  onTraffic(watch: ((traffic: Traffic) => void) | undefined): void;
  /** New connections go to this port from now on, as a name does after a fail-over. */
  leadTo(serverPort: number): void;
  /** Cuts every connection. */
  close(): Promise<void>;
}

export async function startTcpProxy(serverPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let fate: ChunkFate = () => 'pass';
  let watch: (traffic: Traffic) => void = () => {};
  let connections = 0;
  let target = serverPort;

  // Or small messages would wait for the receiver's delayed acknowledgement of those before them.
  const server = createServer({ noDelay: true }, (client) => {
    connections += 1;
    const connection = connections;
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    const forward = (from: 'client' | 'server', source: Socket, sink: Socket) => {
      sockets.add(source);
      let open = true;
      source.on('data', (chunk) => {
        if (!open) return;
        watch({ connection, from, what: 'bytes', bytes: chunk.length });
        const end = fate({ connection, from, bytes: chunk.length });
        if (end === 'pass') return void sink.write(chunk);
        open = false;
        // What may pass has to arrive: a socket that is destroyed takes along what it has not sent yet.
        if (end === 'drop' || end === 0) cut();
        else sink.end(chunk.subarray(0, end), cut);
      });
      // What was written before an end still has to arrive; after an error nothing does.
      source.on('end', () => {
        watch({ connection, from, what: 'end', bytes: 0 });
        sink.end();
      });
      source.on('error', cut);
      source.on('close', () => sockets.delete(source));
    };
    forward('client', client, upstream);
    forward('server', upstream, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    onChunk(next) {
      fate = next ?? (() => 'pass');
    },
    onTraffic(next) {
      watch = next ?? (() => {});
    },
    leadTo(port) {
      target = port;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
