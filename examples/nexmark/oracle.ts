import { type Auction, type Bid, isAuction, isBid, isPerson, type NexmarkEvent, type Person } from './events.ts';

// The answers by plain loops over all events at once: no engine, no windows but arithmetic.

const S = 1_000;

interface Sold {
  readonly auction: Auction;
  readonly bid: Bid;
}

function salesIn(events: readonly NexmarkEvent[]): Sold[] {
  const sold: Sold[] = [];
  for (const auction of events.filter(isAuction)) {
    const valid = events
      .filter(isBid)
      .filter((bid) => bid.auction === auction.id && bid.at >= auction.at && bid.at < auction.expires)
      .filter((bid) => bid.price >= auction.reserve)
      .sort((a, b) => b.price - a.price || a.at - b.at || a.bidder - b.bidder);
    const [bid] = valid;
    if (bid !== undefined) sold.push({ auction, bid });
  }
  return sold;
}

/** Starts of the windows of `size` seconds, one every `period` seconds, that hold time `at`. */
function windowsAt(at: number, size: number, period: number): number[] {
  const starts: number[] = [];
  const last = Math.floor(at / (period * S)) * period * S;
  for (let start = last; start > at - size * S; start -= period * S) starts.push(start);
  return starts;
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

const meanPrice = (sales: readonly Sold[]): number => sales.reduce((sum, { bid }) => sum + bid.price, 0) / sales.length;

/** Answers by query number. */
export const ORACLES: readonly ((events: readonly NexmarkEvent[]) => readonly unknown[])[] = [
  (events) => events,
  (events) => events.filter(isBid).map((bid) => ({ ...bid, price: Math.floor((bid.price * 89) / 100) })),
  (events) =>
    events
      .filter(isBid)
      .filter(({ auction }) => auction % 13 === 0)
      .map(({ auction, price }) => ({ auction, price })),
  (events) =>
    events
      .filter(isAuction)
      .filter(({ category }) => category === 10)
      .flatMap(({ id, seller }) =>
        events
          .filter(isPerson)
          .filter((person: Person) => person.id === seller && ['OR', 'ID', 'CA'].includes(person.state))
          .map(({ name, city, state }) => ({ name, city, state, auction: id })),
      ),
  (events) => {
    const placed = salesIn(events).flatMap((sale) =>
      windowsAt(sale.auction.expires, 20, 10).map((windowStart) => ({ windowStart, sale })),
    );
    return [...grouped(placed, ({ windowStart, sale }) => `${windowStart} ${sale.auction.category}`).values()].map(
      (group) => ({
        windowStart: group[0]?.windowStart,
        value: { key: group[0]?.sale.auction.category, value: meanPrice(group.map(({ sale }) => sale)) },
      }),
    );
  },
  (events) => {
    const placed = events
      .filter(isBid)
      .flatMap((bid) => windowsAt(bid.at, 10, 5).map((windowStart) => ({ windowStart, auction: bid.auction })));
    return [...grouped(placed, ({ windowStart }) => String(windowStart)).values()].map((inWindow) => {
      const counts = [...grouped(inWindow, ({ auction }) => String(auction)).entries()];
      const bids = Math.max(...counts.map(([, group]) => group.length));
      const auctions = counts.filter(([, group]) => group.length === bids).map(([auction]) => Number(auction));
      return { windowStart: inWindow[0]?.windowStart, value: { auctions: auctions.sort((a, b) => a - b), bids } };
    });
  },
  (events) =>
    [...grouped(salesIn(events), ({ auction }) => String(auction.seller)).values()].map((sales) => {
      sales.sort((a, b) => b.auction.expires - a.auction.expires || b.auction.id - a.auction.id);
      return { key: sales[0]?.auction.seller, value: meanPrice(sales.slice(0, 10)) };
    }),
  (events) =>
    [...grouped(events.filter(isBid), ({ at }) => String(Math.floor(at / (10 * S)))).values()].flatMap((bids) => {
      const best = Math.max(...bids.map(({ price }) => price));
      return bids.filter(({ price }) => price === best);
    }),
  (events) =>
    events.filter(isPerson).flatMap(({ id, name, at }) =>
      events
        .filter(isAuction)
        .filter(
          ({ seller, at: opened }) => seller === id && Math.floor(opened / (10 * S)) === Math.floor(at / (10 * S)),
        )
        .map(({ reserve }) => ({ person: id, name, reserve })),
    ),
];
