import { columns, featureService } from 'headwater/features';
import { fraudView } from './fraud.ts';
import { transactionRisk } from './transaction_risk.ts';

export const paymentAuthorisation = featureService({
  name: 'payment_authorisation',
  version: 1,
  owner: 'risk',
  description: 'A payment that is being authorised, with the history of its account',
  features: [
    columns(fraudView, 'count_1h', 'count_24h', 'sum_amount_24h', 'distinct_merchant_id_24h'),
    transactionRisk,
  ],
});
