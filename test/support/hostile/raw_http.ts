import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Sends one request whose target and headers no client library has touched.
 *
 * @param url - of the listener
 * @param target - as it stands in the request line
 */
export function sendRaw(
  url: string,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Buffer = '',
): Promise<RawAnswer> {
  const { hostname, port, host } = new URL(url);
  const all: Record<string, string> = {
    host,
    connection: 'close',
    ...(body.length === 0
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => {
      socket.write(`${method} ${target} HTTP/1.1\r\n${head.join('')}\r\n`, 'latin1');
      socket.write(body);
    });
    socket.setTimeout(20_000, () => socket.destroy(new Error(`no answer to ${method} ${target}`)));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const [line = '', ...lines] = text.slice(0, end).split('\r\n');
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1] ?? Number.NaN);
      const pairs = lines.map((each) => /^([^:]+):\s*(.*)$/.exec(each)?.slice(1) ?? ['', '']);
      const told = Object.fromEntries(pairs.map(([name = '', value = '']) => [name.toLowerCase(), value]));
      if (Number.isNaN(status)) reject(new Error(`no HTTP answer to ${method} ${target}: ${text.slice(0, 200)}`));
      else resolve({ status, headers: told, body: text.slice(end + 4) });
    });
  });
}
