import {
  bagState,
  type CombineFn,
  coGroupByKey,
  combineGlobally,
  combinePerKey,
  count,
  type DoFn,
  eventTimer,
  filter,
  fixedWindows,
  flatten,
  globalWindows,
  type KV,
  keyBy,
  keyedCoder,
  mean,
  never,
  type OnTimerContext,
  type PCollection,
  type ProcessContext,
  parDo,
  slidingWindows,
  type TimerSpec,
  valueState,
  windowInto,
} from 'headwater/pipelines';
import { type Auction, type Bid, isAuction, isBid, isPerson, type NexmarkEvent, type Person } from './events.ts';

type Events = PCollection<NexmarkEvent>;

const bidsOf = (events: Events): PCollection<Bid> => events.apply(filter(isBid, 'Bids')) as PCollection<Bid>;
const auctionsOf = (events: Events): PCollection<Auction> =>
  events.apply(filter(isAuction, 'Auctions')) as PCollection<Auction>;
const peopleOf = (events: Events): PCollection<Person> =>
  events.apply(filter(isPerson, 'People')) as PCollection<Person>;

/** 0, pass-through: what the engine costs. */
export const passThrough = (events: Events): PCollection<NexmarkEvent> => events.map((event) => event);

/** 1, currency conversion: every bid in euros. */
export const currencyConversion = (events: Events): PCollection<Bid> =>
  bidsOf(events).map((bid) => ({ ...bid, price: Math.floor((bid.price * 89) / 100) }));

export interface Selected {
  readonly auction: number;
  readonly price: number;
}

export const SELECTED_AUCTIONS = 13;

/** 2, selection: bids on every 13th auction. */
export const selection = (events: Events): PCollection<Selected> =>
  bidsOf(events)
    .apply(filter(({ auction }) => auction % SELECTED_AUCTIONS === 0, 'Every13th'))
    .map(({ auction, price }) => ({ auction, price }));

export interface LocalItem {
  readonly name: string;
  readonly city: string;
  readonly state: string;
  readonly auction: number;
}

export const LOCAL_STATES: readonly string[] = ['OR', 'ID', 'CA'];
export const LOCAL_CATEGORY = 10;

/** Joins one person with any number of auctions, whatever comes first. */
class JoinSeller implements DoFn<KV<number, Person | Auction>, LocalItem> {
  readonly person = valueState<Person>('person');
  readonly waiting = bagState<number>('waiting');

  process({ value }: KV<number, Person | Auction>, context: ProcessContext<LocalItem>): void {
    const person = context.state(this.person);
    if (value.kind === 'person') {
      person.write(value);
      const waiting = context.state(this.waiting);
      for (const auction of waiting.read()) this.#emit(value, auction, context);
      waiting.clear();
      return;
    }
    const known = person.read();
    if (known === undefined) context.state(this.waiting).add(value.id);
    else this.#emit(known, value.id, context);
  }

  #emit({ name, city, state }: Person, auction: number, context: ProcessContext<LocalItem>): void {
    context.output({ name, city, state, auction });
  }
}

/** 3, local item suggestion: auctions of category 10 by sellers in Oregon, Idaho and California. Joins in state. */
export function localItems(events: Events): PCollection<LocalItem> {
  const sellers = peopleOf(events)
    .apply(filter(({ state }) => LOCAL_STATES.includes(state), 'LocalPeople'))
    .apply(keyBy(({ id }) => id, 'PersonId')) as PCollection<KV<number, Person | Auction>>;
  const auctions = auctionsOf(events)
    .apply(filter(({ category }) => category === LOCAL_CATEGORY, 'Category10'))
    .apply(keyBy(({ seller }) => seller, 'Seller')) as PCollection<KV<number, Person | Auction>>;
  return flatten([sellers, auctions], 'PeopleAndAuctions').apply(parDo(new JoinSeller(), { name: 'JoinSeller' }));
}

export interface Sale {
  readonly auction: Auction;
  readonly bid: Bid;
}

/** The better of two bids: the higher price, then the earlier one. */
export const beats = (bid: Bid, other: Bid): boolean =>
  bid.price > other.price ||
  (bid.price === other.price && (bid.at < other.at || (bid.at === other.at && bid.bidder < other.bidder)));

/** Waits for an auction to close, and then says who won it. */
class CloseAuction implements DoFn<KV<number, Auction | Bid>, Sale> {
  readonly auction = valueState<Auction>('auction');
  readonly bids = bagState<Bid>('bids');
  readonly closing = eventTimer('closing');

  process({ value }: KV<number, Auction | Bid>, context: ProcessContext<Sale>): void {
    if (value.kind === 'bid') {
      context.state(this.bids).add(value);
      return;
    }
    context.state(this.auction).write(value);
    context.timer(this.closing).set(value.expires, { outputTimestamp: value.expires as never });
  }

  onTimer(_: TimerSpec, context: OnTimerContext<Sale>): void {
    const auction = context.state(this.auction).read() as Auction;
    let winner: Bid | undefined;
    for (const bid of context.state(this.bids).read()) {
      if (bid.at < auction.at || bid.at >= auction.expires || bid.price < auction.reserve) continue;
      if (winner === undefined || beats(bid, winner)) winner = bid;
    }
    context.state(this.auction).clear();
    context.state(this.bids).clear();
    if (winner !== undefined) context.output({ auction, bid: winner });
  }
}

/** Sales, at the time their auction closed. */
function salesOf(events: Events): PCollection<Sale> {
  const bids = bidsOf(events).apply(keyBy(({ auction }) => auction, 'BidAuction')) as PCollection<
    KV<number, Auction | Bid>
  >;
  const auctions = auctionsOf(events).apply(keyBy(({ id }) => id, 'AuctionId')) as PCollection<
    KV<number, Auction | Bid>
  >;
  return flatten([auctions, bids], 'AuctionsAndBids').apply(parDo(new CloseAuction(), { name: 'CloseAuction' }));
}

/** A result with the window it belongs to. */
export interface Windowed<T> {
  readonly windowStart: number;
  readonly value: T;
}

const withWindow = <T>(input: PCollection<T>): PCollection<Windowed<T>> =>
  input.apply(
    parDo<T, Windowed<T>>(
      { process: (value, context) => context.output({ windowStart: context.window.start, value }) },
      { name: 'WithWindow' },
    ),
  );

export const AVERAGE_WINDOW_SECONDS = 20;
export const AVERAGE_PERIOD_SECONDS = 10;

/** 4, average price for a category: of the sales that closed in each sliding window. */
export const averageByCategory = (events: Events): PCollection<Windowed<KV<number, number>>> =>
  withWindow(
    salesOf(events)
      .apply(windowInto({ windowFn: slidingWindows(AVERAGE_WINDOW_SECONDS, AVERAGE_PERIOD_SECONDS) }))
      .apply(
        parDo<Sale, KV<number, number>>(
          { process: ({ auction, bid }, context) => context.output({ key: auction.category, value: bid.price }) },
          { name: 'CategoryPrice', coder: keyedCoder() },
        ),
      )
      .apply(combinePerKey(mean())),
  );

export interface HotItems {
  readonly auctions: readonly number[];
  readonly bids: number;
}

/** Those with the most bids; all of them when there are several. */
const hottest: CombineFn<KV<number, number>, HotItems, HotItems> = {
  createAccumulator: () => ({ auctions: [], bids: 0 }),
  addInput: (best, { key, value }) => hotter(best, { auctions: [key], bids: value }),
  mergeAccumulators: (parts) => [...parts].reduce(hotter, { auctions: [], bids: 0 }),
  extractOutput: ({ auctions, bids }) => ({ auctions: [...auctions].sort((a, b) => a - b), bids }),
};

function hotter(a: HotItems, b: HotItems): HotItems {
  if (a.bids !== b.bids) return a.bids > b.bids ? a : b;
  return { auctions: [...a.auctions, ...b.auctions], bids: a.bids };
}

export const HOT_WINDOW_SECONDS = 10;
export const HOT_PERIOD_SECONDS = 5;

/** 5, hot items: the auctions with the most bids in each sliding window. */
export const hotItems = (events: Events): PCollection<Windowed<HotItems>> =>
  withWindow(
    bidsOf(events)
      .apply(windowInto({ windowFn: slidingWindows(HOT_WINDOW_SECONDS, HOT_PERIOD_SECONDS) }))
      .apply(keyBy(({ auction }) => auction, 'Auction'))
      .apply(combinePerKey(count(), { name: 'BidsPerAuction' }))
      .apply(combineGlobally(hottest, { name: 'Hottest' })),
  );

export const LAST_SALES = 10;

/** Mean price of the newest sales. */
const meanOfLast: CombineFn<Sale, readonly Sale[], number> = {
  createAccumulator: () => [],
  addInput: (sales, sale) => newest([...sales, sale]),
  mergeAccumulators: (parts) => newest([...parts].flat()),
  extractOutput: (sales) => sales.reduce((sum, { bid }) => sum + bid.price, 0) / sales.length,
};

const newest = (sales: readonly Sale[]): readonly Sale[] =>
  [...sales].sort((a, b) => b.auction.expires - a.auction.expires || b.auction.id - a.auction.id).slice(0, LAST_SALES);

/** 6, average selling price by seller: of the last 10 sales of each, once when the events end. */
export const averageBySeller = (events: Events): PCollection<KV<number, number>> =>
  salesOf(events)
    .apply(windowInto({ windowFn: globalWindows(), trigger: never }))
    .apply(keyBy(({ auction }) => auction.seller, 'Seller'))
    .apply(combinePerKey(meanOfLast));

/** The highest; all of them when there are several. */
const highest: CombineFn<Bid, readonly Bid[], readonly Bid[]> = {
  createAccumulator: () => [],
  addInput: (best, bid) => higher(best, [bid]),
  mergeAccumulators: (parts) => [...parts].reduce(higher, []),
  extractOutput: (bids) => bids,
};

function higher(a: readonly Bid[], b: readonly Bid[]): readonly Bid[] {
  const [first] = a;
  const [second] = b;
  if (first === undefined || second === undefined) return first === undefined ? b : a;
  if (first.price === second.price) return [...a, ...b];
  return first.price > second.price ? a : b;
}

export const HIGHEST_WINDOW_SECONDS = 10;

/** 7, highest bid: of each fixed window. */
export const highestBid = (events: Events): PCollection<Bid> =>
  bidsOf(events)
    .apply(windowInto({ windowFn: fixedWindows(HIGHEST_WINDOW_SECONDS) }))
    .apply(combineGlobally(highest))
    .flatMap((bids) => [...bids]);

export interface NewSeller {
  readonly person: number;
  readonly name: string;
  readonly reserve: number;
}

export const NEW_SELLER_WINDOW_SECONDS = 10;

/** 8, monitor new users: auctions opened by people in the window in which they registered. */
export function newSellers(events: Events): PCollection<NewSeller> {
  const windows = { windowFn: fixedWindows(NEW_SELLER_WINDOW_SECONDS) };
  const people = peopleOf(events)
    .apply(windowInto(windows, 'PeopleWindows'))
    .apply(keyBy(({ id }) => id, 'PersonId'));
  const auctions = auctionsOf(events)
    .apply(windowInto(windows, 'AuctionWindows'))
    .apply(keyBy(({ seller }) => seller, 'Seller'));
  return coGroupByKey<number, { people: Person; auctions: Auction }>({ people, auctions }).flatMap(({ value }) =>
    value.people.flatMap(({ id, name }) => value.auctions.map(({ reserve }) => ({ person: id, name, reserve }))),
  );
}

/** Queries by their number in Nexmark. */
export const QUERIES: readonly ((events: Events) => PCollection<unknown>)[] = [
  passThrough,
  currencyConversion,
  selection,
  localItems,
  averageByCategory,
  hotItems,
  averageBySeller,
  highestBid,
  newSellers,
];
