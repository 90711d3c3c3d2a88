import type { FeaturesPlugin } from 'headwater/features';
import { needs } from 'headwater/serving';
import { claimView } from './features/claims.ts';
import { triageOf } from './triage.ts';

/** `POST /triage`: the decision on the newest claim of each policy, in their order; null for a policy without claims. */
export const triageRoute: FeaturesPlugin = {
  name: 'triage',
  register(app, { read }) {
    const body = {
      ...{ type: 'object', required: ['policies'], additionalProperties: false },
      properties: {
        policies: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'string', minLength: 1 } },
      },
    };
    app.post<{ Body: { policies: string[] } }>(
      '/triage',
      { config: { access: needs('features:claim@1') }, schema: { body } },
      async (request) => {
        const rows = await read(claimView, request.body.policies);
        return { decisions: rows.map((row) => (row === undefined ? null : triageOf(row))) };
      },
    );
  },
};
