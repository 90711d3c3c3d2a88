import { definePersonalData, type PersonalData } from 'headwater/features';
import { customer } from '../features/feedback.ts';
import { storeOf } from './routes.ts';
import { readSettings } from './settings.ts';

/**
 * Comments that are kept and adverse events, for `headwater entities erase` and `export`. An adverse event stays, as the law on medicines and products asks,
 * without customer, words and text; its audit trail has an entry of the erasure.
 */
export const feedbackData = ({
  environment,
}: {
  readonly environment: Readonly<Record<string, string | undefined>>;
}): PersonalData =>
  definePersonalData({
    name: 'feedback',
    entity: customer,
    stays: 'adverse events stay without customer, words and text',
    async open() {
      const store = storeOf(readSettings(environment));
      await store.check();
      await store.start();
      return {
        async erase({ joinKeys }) {
          const { comments, adverseEvents } = await store.erase(
            joinKeys.customer_id as string,
            'headwater entities erase',
          );
          return comments + adverseEvents;
        },
        read: ({ joinKeys }) => store.read(joinKeys.customer_id as string),
        close: () => store.stop(),
      };
    },
  });
