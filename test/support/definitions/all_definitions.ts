import { createCatalog } from '#feature_store/definitions/catalog';
import * as customerValue from '../../../examples/activity/features/customer_value.ts';
import * as recommendation from '../../../examples/activity/features/recommendation.ts';
import * as activityServices from '../../../examples/activity/features/services.ts';
import * as userActivity from '../../../examples/activity/features/user_activity.ts';
import * as claims from '../../../examples/claims/features/claims.ts';
import * as credit from '../../../examples/credit/features/credit.ts';
import * as fraud from '../../../examples/fraud/features/fraud.ts';
import * as paymentAuthorisation from '../../../examples/fraud/features/payment_authorisation.ts';
import * as transactionRisk from '../../../examples/fraud/features/transaction_risk.ts';
import { fraudDetector } from '../../../examples/fraud/models/fraud_detector.ts';
import * as forecastQuality from '../../../examples/market/features/forecast_quality.ts';
import * as market from '../../../examples/market/features/market.ts';
import * as priceForecast from '../../../examples/market/features/price_forecast.ts';
import * as sensors from '../../../examples/sensors/features/sensors.ts';

// In the order in which they are found in folders and files.
const MODULES = [
  ...[customerValue, recommendation, activityServices, userActivity],
  ...[claims, credit, fraud, paymentAuthorisation, transactionRisk, forecastQuality, market, priceForecast, sensors],
];

/** The definitions of all examples: what headwater.config.ts of this repository runs. */
export const CATALOG = createCatalog(MODULES.flatMap((module) => Object.values(module as object)));
export const { views: VIEWS, onDemand: ON_DEMAND_VIEWS, services: SERVICES, sources: SOURCES } = CATALOG;

export const MODELS = [fraudDetector];
