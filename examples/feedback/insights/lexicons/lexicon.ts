/** What kind of harm a concern is of. */
export const CONCERNS = [
  'allergic_reaction',
  'skin',
  'digestive',
  'nervous_system',
  'heart',
  'breathing',
  'eyes_and_ears',
  'mental_health',
  'injury',
  'burn_or_fire',
  'electric',
  'choking',
  'contamination',
  'wrong_dose',
  'safety_failure',
  'hospital_or_death',
  'other_symptom',
] as const;
export type Concern = (typeof CONCERNS)[number];

export const TOPICS = ['quality', 'delivery', 'price', 'support', 'usability', 'health', 'other'] as const;
export type Topic = (typeof TOPICS)[number];

/** Words of one language. Patterns are regular expressions on normalised text: lower case, without accents. */
export interface Lexicon {
  /** Beginnings of words (`vomit` matches `vomiting`), or phrases. */
  readonly concerns: Readonly<Partial<Record<Concern, readonly string[]>>>;
  /** Phrases that mean harm by themselves, whatever the model thinks, unless they are negated. */
  readonly certain: readonly string[];
  /** Words that negate what follows within a few words. */
  readonly negations: readonly string[];
  /** Words that end the reach of a negation. */
  readonly contrasts: readonly string[];
  /** Phrases that say a complaint was relieved, or that a product is against it. */
  readonly reliefs: readonly string[];
  /** Phrases that use words of harm for something else. */
  readonly idioms: readonly string[];
  /** Beginnings of wishes: what comes after them in the sentence is an unmet need. */
  readonly wishes: readonly string[];
  /** Beginnings of words of praise and of blame. */
  readonly praise: readonly string[];
  readonly blame: readonly string[];
  /** Beginnings of words, or phrases, that tell what a text is about. */
  readonly topics: Readonly<Partial<Record<Topic, readonly string[]>>>;
}
