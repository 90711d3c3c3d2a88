/** Returns an event that every check of the gateway takes. */
export const goodEvent = (id: string, changes: object = {}) => ({
  event_id: id,
  user_id: 'u1',
  event_type: 'transaction',
  timestamp: new Date().toISOString(),
  account_id: 'a1',
  amount: 5,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
  ...changes,
});
