import type { InsightProvider as Provider, ProviderRequest as Request } from 'headwater/serving';
import type { Language } from '../languages.ts';

// Providers of the languages that this project reads; the interface, and its contract, are the platform's.

export type ProviderRequest = Request<Language>;
export type InsightProvider = Provider<Language>;
export type { ProviderAnswer } from 'headwater/serving';
