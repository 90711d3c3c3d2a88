/** Whether tests run in their long form: `npm run test:long`, each night. */
export const isLong = process.env.TEST_LONG === 'yes';

/** Returns what a test takes in the form that runs. Both forms hold every kind of case; the long one holds more of each. */
export const byForm = <T>(forms: { readonly short: T; readonly long: T }): T => (isLong ? forms.long : forms.short);
