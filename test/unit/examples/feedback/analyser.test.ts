import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from '@jest/globals';
import { killProviderUnderLoad } from '#examples/feedback/evaluation/load';
import { Analyser } from '#examples/feedback/insights/analyser';
import { providedSchema } from '#examples/feedback/insights/contract';
import { mask } from '#examples/feedback/insights/detection/masking';
import { bedrockProvider } from '#examples/feedback/insights/providers/bedrock';
import { localProvider } from '#examples/feedback/insights/providers/local';
import { openAiProvider } from '#examples/feedback/insights/providers/openai';
import type { InsightProvider } from '#examples/feedback/insights/providers/provider';
import { providerOf, readSettings } from '#examples/feedback/insights/settings';
import { type FakeProvider, type Mode, startFakeProvider } from '#examples/feedback/test/support/fake_provider';
import { assetPath } from '#kernel/project_root';
import { insightProviderContract } from '#serving/testing/insight_provider_contract';

process.env.AWS_ACCESS_KEY_ID ??= 'test';
process.env.AWS_SECRET_ACCESS_KEY ??= 'test';

const HARM = 'The charger got so hot that it burned my hand. Write to ann@example.com.';
const prices = { input: 1, output: 2 };
const made: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of made.splice(0).reverse()) await each.close();
});

const PROVIDERS: Readonly<Record<string, (fake: FakeProvider) => InsightProvider>> = {
  bedrock: ({ url }) =>
    bedrockProvider({ region: 'us-east-1', model: 'claude', endpoint: url, prices, maxTokens: 100 }),
  openai: ({ url }) => openAiProvider({ baseUrl: `${url}/v1`, model: 'm', apiKey: 'k', prices, maxTokens: 100 }),
  local: localProvider,
};

async function open(name: string, mode: Mode, deadlineMs = 2_500): Promise<{ fake: FakeProvider; analyser: Analyser }> {
  const fake = await startFakeProvider(mode);
  const analyser = new Analyser({ provider: PROVIDERS[name]?.(fake) as InsightProvider }, { deadlineMs });
  made.push(fake, analyser);
  return { fake, analyser };
}

describe.each(Object.keys(PROVIDERS))('the provider %s', (name) => {
  const isRemote = name !== 'local';

  const provider = async (mode: Mode): Promise<InsightProvider> => {
    const fake = await startFakeProvider(mode);
    made.push(fake);
    return PROVIDERS[name]?.(fake) as InsightProvider;
  };
  const contract = insightProviderContract(() => provider('well'), {
    comments: { en: HARM, es: 'La entrega llegó tarde y nadie responde.', fr: 'Le colis est arrivé en retard.' },
    read: (content) => providedSchema.parse(content),
    ...(isRemote ? { unreachable: () => provider('down') } : {}),
  });
  for (const { name: each, timeoutMs, run } of contract) test(each, run, timeoutMs);

  test('answers as the schema has it, after the detection', async () => {
    const { analyser } = await open(name, 'well');
    const { insights, cost } = await analyser.analyse({ text: HARM });
    expect(insights).toMatchObject({
      ...{ language: 'en', sentiment: 'negative', adverse_event_detected: true, degraded: false, provider: name },
      degraded_reason: null,
    });
    expect(insights.stages.map(({ stage }) => stage)).toEqual([
      ...['language', 'detection', 'masking'],
      isRemote ? 'provider' : 'local',
    ]);
    expect(cost).toBeCloseTo(isRemote ? (120 + 80) / 1e6 : 0, 10);
  });

  test.each(['down', 'slow', 'garbled', 'lying'] as const)(
    'while it is %s, the local answer comes in time',
    async (mode) => {
      const { analyser } = await open(name, mode, 500);
      const { insights } = await analyser.analyse({ text: HARM });
      expect(insights).toMatchObject({ adverse_event_detected: true, degraded: isRemote, provider: 'local' });
    },
  );

  test('sees masked text alone, and the order of events', async () => {
    const { analyser, fake } = await open(name, 'well');
    const order: string[] = [];
    await analyser.analyse({
      text: HARM,
      onAdverseEvent: async () => void order.push(`recorded with ${fake.recorded.length} requests sent`),
    });
    expect(order).toEqual(['recorded with 0 requests sent']);
    for (const { body } of fake.recorded) {
      expect(body).not.toContain('ann@example.com');
      expect(body).toContain('<EMAIL>');
    }
    expect(fake.recorded).toHaveLength(isRemote ? 1 : 0);
  });
});

test('a provider that fails again and again is left alone', async () => {
  const { analyser, fake } = await open('openai', 'down');
  for (let at = 0; at < 6; at += 1) await analyser.analyse({ text: HARM });
  const sent = fake.recorded.length;
  const { insights } = await analyser.analyse({ text: HARM });
  expect(insights.degraded_reason).toBe('circuit_open');
  expect(fake.recorded).toHaveLength(sent);
});

test('with two seconds of delay the answer is the provider’s, within 2.7 s', async () => {
  const { analyser } = await open('openai', 'two_seconds');
  const { insights } = await analyser.analyse({ text: HARM });
  expect(insights).toMatchObject({ provider: 'openai', degraded: false });
  expect(insights.latency_ms).toBeLessThan(2_700);
});

test('the provider is killed under load: all adverse events are found, in time', async () => {
  const report = await killProviderUnderLoad(300, 4);
  expect(report.adverseFound).toBe(report.adverseEvents);
  expect(report.adverseEvents).toBeGreaterThan(50);
  expect(report.p95Ms).toBeLessThan(2_700);
}, 20_000);

test('orders in a text change nothing but what is analysed', async () => {
  const orders = readFileSync(assetPath('examples/feedback/data/injections.txt'), 'utf8').split('\n').filter(Boolean);
  expect(orders.length).toBeGreaterThanOrEqual(40);
  const { analyser, fake } = await open('openai', 'well');
  const harms = {
    en: 'The charger burned my hand. ',
    es: 'El cargador me quemó la mano. ',
    fr: "Le chargeur m'a brûlé la main. ",
  };
  for (const line of orders) {
    const lang = line.slice(0, 2) as 'en' | 'es' | 'fr';
    const text = harms[lang] + line.slice(3);
    const { insights } = await analyser.analyse({ text, lang });
    expect(insights).toMatchObject({
      adverse_event_detected: true,
      provider: 'openai',
      degraded: false,
      language: lang,
    });
    const { messages, ...settings } = JSON.parse(fake.recorded.at(-1)?.body ?? '') as {
      messages: { role: string; content: string }[];
    };
    const [system, user] = messages;
    // The text is between its markers in the user's message, and nowhere else.
    expect(messages).toHaveLength(2);
    expect(JSON.stringify([system, settings])).not.toContain(line.slice(3, 20));
    const [first, ...rest] = user?.content.split('\n') ?? [];
    expect(rest.at(-1)).toBe(first);
    expect(rest.slice(0, -1).join('\n')).toBe(mask(text).text);
    // By the models of this process too.
    const local = new Analyser({ provider: localProvider() });
    const { insights: own } = await local.analyse({ text, lang });
    expect(own).toMatchObject({ adverse_event_detected: true, provider: 'local', degraded: false });
    expect(Object.keys(own).sort()).toEqual(Object.keys(insights).sort());
    expect(own.recommendations.join(' ')).not.toMatch(/example\.com/);
  }
});

test('personal data is masked, by checksums where there are some', () => {
  expect(mask('Mail ann.b@mail.co.uk or call +34 612 345 678.').text).toBe('Mail <EMAIL> or call <PHONE>.');
  expect(mask('Card 4111 1111 1111 1111, IBAN ES91 2100 0418 4502 0005 1332').text).toBe('Card <CARD>, IBAN <IBAN>');
  expect(mask('My name is Ann Smith; me llamo José García').text).toBe('My name is <NAME>; me llamo <NAME>');
  const isMasked = (text: string): boolean => /^\p{Ll}+ (?:<[A-Z]+>)$/u.test(mask(text).text);
  const written = [
    ...[
      'write ann＠mail.com',
      'write an\u200bn@mail.com',
      'write ann (at) mail (dot) com',
      'escribe ana [arroba] correo.es',
    ],
    ...['tel 06.12.34.56.78', 'tel 06\u00a012\u00a034\u00a056\u00a078', 'tel 06\u202f12\u202f34\u202f56\u202f78'],
    ...[
      'tel 91/234/56/78',
      'tel ０６１２３４５６７８',
      'iban ES91-2100-0418-4502-0005-1332',
      'iban es91 2100 0418 4502 0005 1332',
    ],
    ...['dni 12.345.678-Z', 'rut 12.345.678-5', 'curp GODE561231HDFRRN09', 'born 12/03/85', 'born March 12, 1985'],
    ...['nacida 12 de marzo de 1985', 'soy Juan Pérez', 'saludos, Ana Gil', 'thanks, Ann Smith'],
    ...['née 3 mars 1985'],
  ];
  expect(written.filter((text) => !isMasked(text.replace(', ', ' ')))).toEqual([]);
  expect(mask("MY NAME IS ANN SMITH, je m'appelle jean dupont et").text).toBe(
    "MY NAME IS <NAME>, je m'appelle <NAME> et",
  );
  expect(mask('I am French and it took 24 hours; soy Española').text).toBe(
    'I am French and it took 24 hours; soy Española',
  );
  expect(mask('Took 2 tablets of 500 mg at 10:30').text).toBe('Took 2 tablets of 500 mg at 10:30');
});

test('an unknown provider is refused by the name of its variable', () => {
  expect(() => readSettings({ FEEDBACK_PROVIDER: 'oracle' })).toThrow(/FEEDBACK_PROVIDER/);
  expect(providerOf(readSettings({})).name).toBe('local');
});
