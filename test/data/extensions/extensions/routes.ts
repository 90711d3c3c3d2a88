import type { GatewayPlugin } from 'headwater/connectors';
import type { FeaturesPlugin } from 'headwater/features';
import { needs, type ServingPlugin } from 'headwater/serving';
import { spending } from '../features/purchases.ts';

/** What a shop's webhook posts becomes an event. */
export const shopHook: GatewayPlugin = {
  name: 'shop-hook',
  register(app, { ingest, log }) {
    const body = {
      ...{ type: 'object', required: ['order', 'buyer', 'cents'], additionalProperties: false },
      properties: { order: { type: 'string' }, buyer: { type: 'string' }, cents: { type: 'integer' } },
    };
    app.post<{ Body: { order: string; buyer: string; cents: number } }>(
      '/hooks/shop',
      { config: { access: needs('ingest') }, schema: { body } },
      async (request, reply) => {
        const { order, buyer, cents } = request.body;
        const at = new Date().toISOString();
        const event = { event_type: 'purchase', purchase_id: order, customer_id: buyer, amount: cents / 100, at };
        const { outcome } = await ingest(event);
        log.info({ order }, 'order.ingested');
        reply.code(202);
        return { outcome };
      },
    );
  },
};

export const summaries: FeaturesPlugin = {
  name: 'summaries',
  register(app, { read }) {
    app.get<{ Params: { customer: string } }>(
      '/summaries/:customer',
      { config: { access: needs('features:spending@1') } },
      async ({ params }) => {
        const [row] = await read(spending, [params.customer]);
        return { customer: params.customer, spent: row?.spent_24h ?? 0 };
      },
    );
  },
};

/** Of several customers, the one who is likeliest to be kept. */
export const recommend: ServingPlugin = {
  name: 'recommend',
  register(app, { score, vectors }) {
    const body = {
      ...{ type: 'object', required: ['customers'], additionalProperties: false },
      properties: { customers: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'string' } } },
    };
    app.post<{ Body: { customers: string[] } }>(
      '/recommend',
      { config: { access: needs('predict:churn') }, schema: { body } },
      async (request) => {
        const { customers } = request.body;
        const rows = await score({ model: 'churn', entities: customers, requestId: request.id });
        const known = await vectors('spending@1', customers);
        const ranked = rows
          .map(({ outputs, modelVersion }, at) => ({
            ...{ customer: customers[at], kept: outputs?.kept ?? 0, modelVersion, purchases: known[at]?.purchases_24h },
          }))
          .sort((a, b) => b.kept - a.kept);
        return { ranked };
      },
    );
  },
};
