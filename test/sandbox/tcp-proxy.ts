import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Asked for every chunk of bytes on its way: `drop` loses it and cuts both sides of its connection. */
export type ChunkFate = (from: 'client' | 'server') => 'pass' | 'drop';

/** Stands on loopback between clients and a server, and sees when bytes travel, not what they say. */
export interface TcpProxy {
  readonly port: number;
  /** Undefined lets everything pass. */
  onChunk(fate: ChunkFate | undefined): void;
  /** Cuts every connection. */
  close(): Promise<void>;
}

export async function startTcpProxy(serverPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let fate: ChunkFate = () => 'pass';

  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1');
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    const forward = (from: 'client' | 'server', source: Socket, target: Socket) => {
      sockets.add(source);
      source.on('data', (chunk) => {
        if (fate(from) === 'pass') target.write(chunk);
        else cut();
      });
      // What was written before an end still has to arrive; after an error nothing does.
      source.on('end', () => target.end());
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
    onChunk(next) {
      fate = next ?? (() => 'pass');
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
