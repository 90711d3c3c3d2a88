import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parse } from 'csv-parse/sync';

/** An event as the gateway takes it. */
export type DatasetEvent = Readonly<Record<string, string | number>>;

/** As `--labels-file` takes it. */
export interface DatasetLabel {
  readonly label_id: string;
  readonly entity_key: string;
  readonly event_time: string;
  readonly label: number;
}

/** Real data that ships inside a package of Python's index. */
export interface Dataset {
  readonly name: string;
  readonly description: string;
  /** Name and version, as pip takes it. */
  readonly requirement: string;
  /** Of the data, and where it comes from. */
  readonly licence: string;
  /** The view that its events make, and what it is used for. */
  readonly view: string;
  readonly model: string;
  /** @param folder - into which the package was installed */
  read(folder: string): Promise<{ readonly events: DatasetEvent[]; readonly labels: DatasetLabel[] }>;
}

async function readGzippedCsv(file: string): Promise<Record<string, string>[]> {
  const text = await promisify(gunzip)(await readFile(file));
  return parse(text, { columns: true });
}

/** Back-fill reads history in its order; of one moment, as it is listed. */
const byTime = (events: readonly DatasetEvent[]): DatasetEvent[] =>
  [...events].sort((a, b) => Date.parse(String(a.timestamp)) - Date.parse(String(b.timestamp)));

const BOKEH = 'bokeh_sampledata==2026.1';
const NEW_YORK_CLOSE = 'T21:00:00.000Z';

const dailyPrices: Dataset = {
  name: 'daily_prices',
  description: 'Daily bars of AAPL, FB, GOOG, IBM and MSFT, 2000 to March 2013; labels: the next close',
  requirement: BOKEH,
  licence: 'public domain; Quandl WIKI Prices, as in bokeh_sampledata (BSD-3-Clause)',
  view: 'price_history@1',
  model: 'price_forecaster',
  async read(folder) {
    const bars = await readGzippedCsv(join(folder, 'bokeh_sampledata/_data/stocks.csv.gz'));
    const events = bars.map((bar): DatasetEvent => {
      // Splits and dividends are taken out of all prices as they are out of the close.
      const factor = Number(bar['Adj Close']) / Number(bar.Close);
      return {
        event_id: `${bar.Ticker}-${bar.Date}`,
        event_type: 'daily_bar',
        timestamp: `${bar.Date}${NEW_YORK_CLOSE}`,
        symbol: bar.Ticker as string,
        open: Number(bar.Open) * factor,
        high: Number(bar.High) * factor,
        low: Number(bar.Low) * factor,
        close: Number(bar['Adj Close']),
        volume: Number(bar.Volume),
      };
    });
    const labels = events.flatMap(({ event_id: id, symbol, timestamp }, index): DatasetLabel[] => {
      const next = events[index + 1];
      if (next === undefined || next.symbol !== symbol) return [];
      return [
        {
          label_id: String(id),
          entity_key: String(symbol),
          event_time: String(timestamp),
          label: next.close as number,
        },
      ];
    });
    return { events: byTime(events), labels };
  },
};

const glucose: Dataset = {
  name: 'glucose',
  description: 'Readings of a continuous glucose monitor, one every five minutes, March to October 2010',
  requirement: BOKEH,
  licence: 'public domain; given by the person who wore it, as in bokeh_sampledata (BSD-3-Clause)',
  view: 'sensor@1',
  model: 'sensor_anomalies',
  async read(folder) {
    const readings = await readGzippedCsv(join(folder, 'bokeh_sampledata/_data/CGM.csv.gz'));
    const events = readings.map(
      (reading, index): DatasetEvent => ({
        event_id: `glucose-${index}`,
        event_type: 'sensor_reading',
        timestamp: `${(reading.datetime as string).replace(' ', 'T')}.000Z`,
        sensor_id: 'monitor_1',
        metric: 'glucose',
        value: Number(reading.glucose),
      }),
    );
    return { events, labels: [] };
  },
};

const purchases: Dataset = {
  name: 'purchases',
  description: 'What 23,570 customers of CDNOW bought from January 1997 to June 1998',
  requirement: 'Lifetimes==0.11.3',
  licence: 'published for research by P. Fader and B. Hardie, as in lifetimes (MIT)',
  view: 'customer_value@1',
  model: 'customer_segments',
  async read(folder) {
    const text = await readFile(join(folder, 'lifetimes/datasets/CDNOW_master.txt'), 'utf8');
    const lines = text.trim().split('\n').slice(1);
    const events = lines.map((line, index): DatasetEvent => {
      const [customer, date, , amount] = line.trim().split(/\s+/) as [string, string, string, string];
      return {
        event_id: `cdnow-${index}`,
        user_id: `customer_${customer}`,
        event_type: 'purchase',
        timestamp: `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6, 8)}T12:00:00.000Z`,
        amount: Number(amount),
        currency: 'USD',
      };
    });
    return { events: byTime(events), labels: [] };
  },
};

export const DATASETS: readonly Dataset[] = [dailyPrices, glucose, purchases];
