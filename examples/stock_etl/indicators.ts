/** Days that the longest indicator looks back. */
export const LONGEST_DAYS = 200;
const LAGS = 20;

export interface Indicators {
  readonly sma20: number;
  readonly sma200: number;
  /** Standard deviation of daily returns over 20 days. */
  readonly volatility: number;
  /** Relative strength over 14 days, 0 to 100. */
  readonly rsi14: number;
  /** Share below the highest close. */
  readonly drawdown: number;
  /** Correlation of a day's return with that of so many days before, 1 to 20. */
  readonly autocorrelations: readonly number[];
}

/** Returns the indicators of the last day. @param closes - at most {@link LONGEST_DAYS}, the newest last */
export function indicatorsOf(closes: readonly number[]): Indicators {
  const returns = closes.slice(1).map((close, at) => Math.log(close / (closes[at] as number)));
  const gains = returns.slice(-14);
  const up = sum(gains.map((gain) => Math.max(gain, 0)));
  const down = sum(gains.map((gain) => Math.max(-gain, 0)));
  const highest = Math.max(...closes);
  return {
    sma20: mean(closes.slice(-20)),
    sma200: mean(closes),
    volatility: deviation(returns.slice(-20)),
    rsi14: up + down === 0 ? 50 : (100 * up) / (up + down),
    drawdown: 1 - (closes.at(-1) as number) / highest,
    autocorrelations: Array.from({ length: LAGS }, (_, lag) => autocorrelation(returns, lag + 1)),
  };
}

function autocorrelation(values: readonly number[], lag: number): number {
  const center = mean(values);
  let together = 0;
  let own = 0;
  for (let at = 0; at < values.length; at += 1) {
    const distance = (values[at] as number) - center;
    own += distance * distance;
    if (at >= lag) together += distance * ((values[at - lag] as number) - center);
  }
  return own === 0 ? 0 : together / own;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => (values.length === 0 ? 0 : sum(values) / values.length);

function deviation(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
}
