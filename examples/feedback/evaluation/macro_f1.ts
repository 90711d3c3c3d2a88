/** Mean of the F1 of each class that there is. */
export function macroF1<T>(classes: readonly T[], pairs: readonly { readonly truth: T; readonly said: T }[]): number {
  const scores = classes.flatMap((each) => {
    const truths = pairs.filter(({ truth }) => truth === each).length;
    const saids = pairs.filter(({ said }) => said === each).length;
    const hits = pairs.filter(({ truth, said }) => truth === each && said === each).length;
    return truths === 0 ? [] : [(2 * hits) / (truths + saids)];
  });
  return scores.reduce((sum, each) => sum + each, 0) / scores.length;
}
