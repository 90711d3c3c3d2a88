/** What merchants sell. */
export const MERCHANT_CATEGORIES = [
  'grocery',
  'electronics',
  'travel',
  'fuel',
  'restaurant',
  'fashion',
  'online',
  'cash',
  'gambling',
  'jewelry',
] as const;
