import { needs, type ServingPlugin } from 'headwater/serving';
import { FEWEST_OUTCOMES, INTERVAL } from './features/forecast_quality.ts';
import { priceForecast } from './features/price_forecast.ts';

/** A forecast of the next close. */
export interface Forecast {
  readonly symbol: string;
  readonly forecast: number;
  /** Between which the close will be with the probability `interval`, by the errors of the last year; null while there are few. */
  readonly low: number | null;
  readonly high: number | null;
  readonly interval: number;
  /** The newest close, which is the naive forecast. */
  readonly previous: number;
  readonly model_version: number;
}

const MODEL = 'price_forecaster';

/** `POST /forecast/:symbol`: the next close, with a conformal interval. */
export const forecast: ServingPlugin = {
  name: 'forecast',
  register(app, { score, vectors }) {
    const params = { type: 'object', properties: { symbol: { type: 'string', minLength: 1, maxLength: 12 } } };
    app.post<{ Params: { symbol: string } }>(
      '/forecast/:symbol',
      { config: { access: needs(`predict:${MODEL}`) }, schema: { params } },
      async ({ id, params: { symbol } }): Promise<Forecast> => {
        const [[scored], [prices], [quality]] = await Promise.all([
          score({ model: MODEL, entities: [symbol], requestId: id }),
          vectors(priceForecast, [symbol]),
          vectors('forecast_quality@1', [symbol]),
        ]);
        const value = Number(scored?.prediction);
        const isKnown = Number(quality?.outcomes_365d ?? 0) >= FEWEST_OUTCOMES;
        const factor = isKnown ? Math.exp(Number(quality?.half_width_365d)) : undefined;
        return {
          ...{ symbol, forecast: value, interval: INTERVAL, previous: Number(prices?.close_0) },
          low: factor === undefined ? null : value / factor,
          high: factor === undefined ? null : value * factor,
          model_version: scored?.modelVersion ?? 0,
        };
      },
    );
  },
};
