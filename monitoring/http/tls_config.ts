import { z } from 'zod';

/** PEM files of a listener; absent: plain HTTP, for behind something that ends TLS. */
export const tlsSchema = z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) });
export type TlsConfig = z.infer<typeof tlsSchema>;
