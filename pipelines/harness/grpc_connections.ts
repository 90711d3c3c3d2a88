import * as grpc from '@grpc/grpc-js';

/** Runners put an address or a URL here. */
const hostOf = (url: string): string => url.replace(/^(https?|grpc):\/\//, '');

const UNLIMITED = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 } as const;

type ClientClass<C> = new (address: string, credentials: grpc.ChannelCredentials, options: grpc.ClientOptions) => C;

/** Connects a client of apache-beam's to a runner's endpoint. Messages may be of any size. */
export function connect<C>(Client: ClientClass<C>, url: string): C {
  return new Client(hostOf(url), grpc.credentials.createInsecure(), UNLIMITED);
}

/** Tells a runner whose streams these are; Prism serves several workers on one port and needs it. */
export function workerMetadata(workerId: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set('worker_id', workerId);
  return metadata;
}
