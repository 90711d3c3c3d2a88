/** The package has no declarations of its own. */
declare module 'asl-validator' {
  interface Problem {
    readonly 'Error code': string;
    readonly Message: string;
    readonly path?: string;
    readonly schemaError?: { readonly instancePath?: string; readonly message?: string };
  }
  export default function validate(
    definition: unknown,
    options?: { readonly checkPaths: boolean; readonly checkArn: boolean },
  ): { readonly isValid: boolean; readonly errors: readonly Problem[] };
}
