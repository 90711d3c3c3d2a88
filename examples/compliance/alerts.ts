import { createHash } from 'node:crypto';
import { RULES } from './features/transfers.ts';

/** What `GET /why/CUSTOMER/FEATURE` answers, as far as an alert needs it. */
export interface Why {
  readonly at: string;
  readonly definition: { readonly version: number; readonly fingerprint: string };
  readonly recomputed: { readonly value: number } | null;
  readonly equal: boolean;
  readonly events: {
    readonly total: number;
    readonly items: readonly { readonly event_id: string; readonly time: string }[];
  };
}

/** An alert with what proves it. */
export interface Alert {
  /** The same for the same rule, customer and transfer, however often it is raised. */
  readonly id: string;
  readonly rule: string;
  readonly customer: string;
  readonly transfer: string;
  /** The value that the rule has looked at, and that computed again from the events. */
  readonly value: number;
  readonly recomputed: number;
  readonly at: string;
  /** Of the feature's definition. */
  readonly fingerprint: string;
  /** Ids and times of the events, the newest first. */
  readonly events: readonly { readonly event_id: string; readonly time: string }[];
  /** SHA-256 of the evidence as it was kept: a change of it shows. */
  readonly evidence: string;
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Makes an alert of a broken rule and the explanation of its feature.
 *
 * @param evidence - the explanation as text, which is kept beside the alert
 * @throws RangeError where the events do not give the value, or are fewer than the rule needs: nothing is proved then
 */
export function alertOf(
  { rule: id, customer, transfer, value }: Pick<Alert, 'rule' | 'customer' | 'transfer' | 'value'>,
  evidence: string,
): Alert {
  const rule = RULES.find((each) => each.id === id);
  if (rule === undefined) throw new RangeError(`there is no rule "${id}"`);
  const why = JSON.parse(evidence) as Why;
  const recomputed = why.recomputed?.value ?? 0;
  if (!why.equal || recomputed < rule.from || why.events.items.length < rule.from)
    throw new RangeError(
      `${id} of ${customer}: ${why.events.items.length} events give ${recomputed} for ${rule.feature}, and ${value} was seen`,
    );
  return {
    ...{ id: sha256(`${id}\n${customer}\n${transfer}`).slice(0, 16), rule: id, customer, transfer, value, recomputed },
    ...{ at: why.at, fingerprint: why.definition.fingerprint, evidence: sha256(evidence) },
    events: why.events.items.map(({ event_id, time }) => ({ event_id, time })),
  };
}
