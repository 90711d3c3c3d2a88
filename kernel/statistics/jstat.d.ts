/** The part of jstat that is used here. */
declare module 'jstat' {
  interface Distribution<Parameters extends readonly number[]> {
    pdf(x: number, ...parameters: Parameters): number;
    cdf(x: number, ...parameters: Parameters): number;
    inv(p: number, ...parameters: Parameters): number;
  }
  const jstat: {
    readonly normal: Distribution<[mean: number, sd: number]>;
    readonly chisquare: Distribution<[degreesOfFreedom: number]>;
  };
  export default jstat;
}
