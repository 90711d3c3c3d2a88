import { columns, numberOr0, onDemand, onDemandView } from 'headwater/features';
import { fraudView } from './fraud.ts';
import { account } from './transactions.ts';

/** A payment that is being authorised, against what the account has done so far. */
export const transactionRisk = onDemandView({
  name: 'transaction_risk',
  version: 1,
  entity: account,
  owner: 'risk',
  description: 'A payment that is being authorised, against what the account has done so far',
  inputs: [columns(fraudView, 'mean_amount_7d', 'stddev_amount_7d', 'max_amount_7d', 'count_1h')],
  request: { payment_amount: 'double', payment_category: 'string' },
  features: {
    payment_deviation: onDemand(
      'double',
      'Standard deviations between the payment and the 7 day mean; 0 when all amounts are equal or none is known',
      (row) => {
        const deviation = numberOr0(row.stddev_amount_7d);
        return deviation === 0 ? 0 : (numberOr0(row.payment_amount) - numberOr0(row.mean_amount_7d)) / deviation;
      },
      { uses: { numberOr0 } },
    ),
    payment_to_max: onDemand(
      'double',
      'The payment over the largest amount of 7 days; null when none is known',
      (row) =>
        row.max_amount_7d === null || row.max_amount_7d === undefined
          ? null
          : numberOr0(row.payment_amount) / numberOr0(row.max_amount_7d),
      { uses: { numberOr0 } },
    ),
    payment_is_cash_like: onDemand(
      'boolean',
      'Whether the payment is cash or gambling',
      ({ payment_category: category }) => category === 'cash' || category === 'gambling',
    ),
  },
});
