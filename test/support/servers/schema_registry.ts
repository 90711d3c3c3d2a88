import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * As much of Confluent's schema registry as clients ask for: subjects with versions, schemas by id. A real one is in no registry of
 * packages that the tests install from.
 */
export class FakeSchemaRegistry {
  readonly #server: Server;
  readonly #schemas: { readonly schema: string; readonly schemaType: string | undefined; readonly subject: string }[] =
    [];
  /** Requests for a schema by its id. */
  lookups = 0;
  isAway = false;

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const [status, answer] = this.isAway ? [503, {}] : this.#answer(request.method ?? '', request.url ?? '', body);
        response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' });
        response.end(JSON.stringify(answer));
      });
    });
  }

  static async start(): Promise<FakeSchemaRegistry> {
    const registry = new FakeSchemaRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #answer(method: string, url: string, body: string): [number, object] {
    const [, id] = /^\/schemas\/ids\/(\d+)/.exec(url) ?? [];
    if (id !== undefined) {
      this.lookups += 1;
      const found = this.#schemas[Number(id) - 1];
      return found === undefined ? [404, { error_code: 40403, message: 'Schema not found' }] : [200, found];
    }
    const [, subject] = /^\/subjects\/([^/]+)\/versions$/.exec(url) ?? [];
    if (method === 'POST' && subject !== undefined) {
      const { schema, schemaType } = JSON.parse(body) as { schema: string; schemaType?: string };
      const before = this.#schemas.findIndex((one) => one.schema === schema && one.subject === subject);
      if (before >= 0) return [200, { id: before + 1 }];
      this.#schemas.push({ schema, schemaType, subject });
      return [200, { id: this.#schemas.length }];
    }
    if (url.startsWith('/config')) return [200, { compatibilityLevel: 'BACKWARD', compatibility: 'BACKWARD' }];
    return [404, { error_code: 40401, message: 'Subject not found' }];
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
