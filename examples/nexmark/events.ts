// Nexmark's auction site: people register, open auctions and bid.
// Source: Tucker, Tufte, Papadimos, Maier, "NEXMark: a benchmark for queries over data streams", 2008.

export interface Person {
  readonly kind: 'person';
  readonly id: number;
  readonly name: string;
  readonly city: string;
  readonly state: string;
  /** Event time, ms. */
  readonly at: number;
}

export interface Auction {
  readonly kind: 'auction';
  readonly id: number;
  readonly seller: number;
  readonly category: number;
  /** Lowest price that sells, cents. */
  readonly reserve: number;
  readonly at: number;
  /** Closing time, ms. */
  readonly expires: number;
}

export interface Bid {
  readonly kind: 'bid';
  readonly auction: number;
  readonly bidder: number;
  /** Cents. */
  readonly price: number;
  readonly at: number;
}

export type NexmarkEvent = Person | Auction | Bid;

/** Of every 50 events, 1 is a person, 3 are auctions, the rest bids. */
const CYCLE = 50;
const AUCTIONS_IN_CYCLE = 3;
const STEP_MS = 10;
/** No event is later than this behind one that came before it. */
export const OUT_OF_ORDER_MS = 200;

const STATES = ['OR', 'ID', 'CA', 'WA', 'NY', 'TX'] as const;
const CITIES = ['Portland', 'Boise', 'San Francisco', 'Seattle', 'New York', 'Austin'] as const;
const FIRST_NAMES = ['Ann', 'Bob', 'Cleo', 'Dan', 'Eve', 'Finn'] as const;
const CATEGORIES = 5;
const FIRST_CATEGORY = 10;

/** A well-mixed number in [0, 2^32) for each index and use: the same event each time. */
function mixed(index: number, use: number): number {
  let hash = Math.imul(index ^ (use * 0x9e3779b9), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const timeOf = (index: number): number => index * STEP_MS + OUT_OF_ORDER_MS - (mixed(index, 1) % OUT_OF_ORDER_MS);
const peopleBefore = (index: number): number => Math.floor(index / CYCLE) + 1;
const auctionsBefore = (index: number): number => Math.floor(index / CYCLE) * AUCTIONS_IN_CYCLE + 1;

/** The event at `index`; event times grow by 10 ms an event, up to 200 ms out of order. */
export function eventAt(index: number): NexmarkEvent {
  const at = timeOf(index);
  const place = index % CYCLE;
  if (place === 0) {
    const home = mixed(index, 2) % STATES.length;
    const name = `${FIRST_NAMES[mixed(index, 3) % FIRST_NAMES.length]} ${peopleBefore(index) - 1}`;
    return {
      kind: 'person',
      id: peopleBefore(index) - 1,
      name,
      city: CITIES[home] as string,
      state: STATES[home] as string,
      at,
    };
  }
  if (place <= AUCTIONS_IN_CYCLE) {
    return {
      kind: 'auction',
      id: Math.floor(index / CYCLE) * AUCTIONS_IN_CYCLE + place - 1,
      seller: recent(peopleBefore(index), mixed(index, 4), 20),
      category: FIRST_CATEGORY + (mixed(index, 5) % CATEGORIES),
      reserve: 100 + (mixed(index, 6) % 2_000),
      at,
      expires: at + 1_000 + (mixed(index, 7) % 4_000),
    };
  }
  return {
    kind: 'bid',
    auction: recent(auctionsBefore(index), mixed(index, 8), 12),
    bidder: recent(peopleBefore(index), mixed(index, 9), 50),
    price: 50 + (mixed(index, 10) % 10_000),
    at,
  };
}

/** One of the newest `window` of `count` ids. */
function recent(count: number, random: number, window: number): number {
  return count - 1 - (random % Math.min(window, count));
}

export const isPerson = (event: NexmarkEvent): event is Person => event.kind === 'person';
export const isAuction = (event: NexmarkEvent): event is Auction => event.kind === 'auction';
export const isBid = (event: NexmarkEvent): event is Bid => event.kind === 'bid';
