import { DAY_MS, HOUR_MS, MINUTE_MS, Random } from 'headwater/features';

export interface Fault {
  readonly name: string;
  /** Where the value is, beside the usual one. */
  readonly side: 'above' | 'below';
}

/** A message of a machine, and whether a fault is in it. */
export interface Message {
  readonly topic: string;
  readonly at: string;
  readonly value: number;
  /** The fault that is in it. */
  readonly fault: Fault | undefined;
}

export interface Flow {
  readonly event_id: string;
  readonly event_type: 'flow';
  readonly timestamp: string;
  readonly host: string;
  readonly peer: string;
  readonly port: number;
  readonly bytes: number;
}

/** What is wrong with a host's traffic, from when, and the causes that name it rightly. */
export interface Attack {
  readonly host: string;
  readonly startMs: number;
  readonly kind: keyof typeof ATTACKS;
}

export interface Close {
  readonly event_id: string;
  readonly event_type: 'close';
  readonly timestamp: string;
  readonly instrument: string;
  readonly close: number;
}

const EVERY_MS = 10 * MINUTE_MS;
const METRICS = { temperature: { base: 48, swing: 12, noise: 1 }, vibration: { base: 2, swing: 1.2, noise: 0.12 } };
/** Kinds of faults: by how many deviations of the noise a value is off, and the hours at which it is. */
const FAULTS = [
  { name: 'spike', off: 26, hours: [0, 24] },
  // What is usual at noon, at night, and the other way about: within what the machine shows in a day.
  { name: 'hot at night', off: 11, hours: [0, 5] },
  { name: 'stopped at noon', off: -11, hours: [12, 16] },
] as const;

const iso = (ms: number): string => new Date(ms).toISOString();
/** From -1 at 02:00 to 1 at 14:00, UTC. */
const dayCurve = (atMs: number): number => Math.sin((2 * Math.PI * ((atMs % DAY_MS) - 8 * HOUR_MS)) / DAY_MS);

/**
 * Makes what machines publish, a reading each ten minutes of each metric. In the last day each series has one fault, of half an hour.
 * Unreal: the course of a day is always the same, noise is normal and independent, faults begin and end at once, and no reading is missing.
 *
 * @param endMs - a full hour
 */
export function makeReadings(machines: number, days: number, endMs: number, seed: number): readonly Message[] {
  const random = new Random(seed);
  const messages: Message[] = [];
  let series = 0;
  for (let machine = 0; machine < machines; machine += 1) {
    const factor = random.between(0.9, 1.1);
    for (const [metric, { base, swing, noise }] of Object.entries(METRICS)) {
      const fault = FAULTS[series % FAULTS.length] as (typeof FAULTS)[number];
      series += 1;
      let faultMs = Math.floor(endMs / DAY_MS) * DAY_MS + random.integer(fault.hours[0], fault.hours[1]) * HOUR_MS;
      if (faultMs >= endMs) faultMs -= DAY_MS;
      for (let atMs = endMs - days * DAY_MS; atMs < endMs; atMs += EVERY_MS) {
        const isFaulty = atMs >= faultMs && atMs < faultMs + 30 * MINUTE_MS;
        const usual = factor * (base + swing * dayCurve(atMs)) + noise * random.normal();
        const value = usual + (isFaulty ? fault.off * noise : 0);
        messages.push({
          ...{ topic: `plant/press-${machine}/${metric}`, at: iso(atMs), value: Number(value.toFixed(4)) },
          fault: isFaulty
            ? { name: `${fault.name} ${machine} ${metric}`, side: fault.off > 0 ? 'above' : 'below' }
            : undefined,
        });
      }
    }
  }
  return messages.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

const PORTS = [443, 443, 443, 80, 53, 22, 5_432];

/** Ten minutes of each kind of attack: how many flows, to which port and peer, and how large; and the causes that name it. */
const ATTACKS = {
  port_scan: {
    flows: 60,
    port: (each: number) => 1_000 + each,
    peer: () => 'peer-1',
    bytes: 60,
    causes: ['many_ports', 'many_flows'],
  },
  exfiltration: {
    flows: 6,
    port: () => 443,
    peer: () => 'outside',
    bytes: 400_000_000,
    causes: ['much_data', 'large_flows'],
  },
  sweep: {
    flows: 60,
    port: () => 22,
    peer: (each: number) => `peer-${each}`,
    bytes: 400,
    causes: ['many_peers', 'many_flows'],
  },
} as const;
export const causesOf = (kind: keyof typeof ATTACKS): readonly string[] => ATTACKS[kind].causes;

/**
 * Makes flows of hosts, more by day than by night; in the last day attacks, of ten minutes each. Unreal: hosts are alike but for how much they send, and attacks are loud.
 */
export function makeFlows(
  hosts: number,
  days: number,
  endMs: number,
  seed: number,
): { readonly flows: readonly Flow[]; readonly attacks: readonly Attack[] } {
  const random = new Random(seed);
  const flows: Flow[] = [];
  const attacks: Attack[] = [];
  const add = (host: string, atMs: number, peer: string, port: number, bytes: number): void => {
    flows.push({
      ...{ event_id: `flow-${flows.length}`, event_type: 'flow', timestamp: iso(atMs), host, peer, port },
      bytes: Math.round(bytes),
    });
  };
  const kinds = Object.keys(ATTACKS) as Attack['kind'][];
  for (let each = 0; each < hosts; each += 1) {
    const host = `host-${each}`;
    const share = random.logNormal(1, 0.3);
    let atMs = endMs - days * DAY_MS;
    while (atMs < endMs) {
      const hourly = 14 * share * (1 + 0.6 * dayCurve(atMs));
      atMs += (-Math.log(1 - random.next()) * HOUR_MS) / hourly;
      if (atMs >= endMs) break;
      const port = PORTS[random.integer(0, PORTS.length)] as number;
      add(host, atMs, `peer-${random.integer(0, 12)}`, port, random.logNormal(20_000, 1.2));
    }
    if (each % 2 === 0) continue;
    const kind = kinds[Math.floor(each / 2) % kinds.length] as Attack['kind'];
    const startMs = endMs - random.between(2, 22) * HOUR_MS;
    const { flows: count, port, peer, bytes } = ATTACKS[kind];
    for (let flow = 0; flow < count; flow += 1) {
      const atFlowMs = startMs + (flow * 10 * MINUTE_MS) / count;
      add(host, atFlowMs, peer(flow), port(flow), bytes * random.between(0.8, 1.2));
    }
    attacks.push({ host, startMs, kind });
  }
  return { flows: flows.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1)), attacks };
}

/** Makes closing prices; some days have a jump of ten deviations. Unreal: returns are normal, with a volatility that stays, and instruments move independently. */
export function makeCloses(
  instruments: number,
  days: number,
  endMs: number,
  seed: number,
): { readonly closes: readonly Close[]; readonly jumps: ReadonlySet<string> } {
  const random = new Random(seed);
  const closes: Close[] = [];
  const jumps = new Set<string>();
  const startMs = Math.floor(endMs / DAY_MS) * DAY_MS - days * DAY_MS;
  for (let each = 0; each < instruments; each += 1) {
    const volatility = random.logNormal(0.012, 0.3);
    let close = random.between(20, 200);
    const jumpDay = random.integer(40, days);
    for (let day = 0; day < days; day += 1) {
      const at = iso(startMs + day * DAY_MS);
      let move = volatility * random.normal();
      if (day === jumpDay) {
        move = (random.chance(0.5) ? 10 : -10) * volatility;
        jumps.add(`S${each} ${at}`);
      }
      close *= 1 + move;
      closes.push({
        ...{ event_id: `S${each}-${day}`, event_type: 'close', timestamp: at, instrument: `S${each}` },
        close: Number(close.toFixed(4)),
      });
    }
  }
  return { closes: closes.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1)), jumps };
}
