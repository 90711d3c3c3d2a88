import type { Language } from '../languages.ts';
import type { Topic } from '../lexicons/lexicon.ts';
import type { Sentiment } from '../model.ts';

interface Phrases {
  readonly insights: Readonly<Record<'negative' | 'positive', (topic: Topic) => string>>;
  readonly recommendations: Readonly<Record<Sentiment, (topic: Topic) => string>>;
  /** What is recommended first when an adverse event was found. */
  readonly safety: string;
}

const NAMES: Readonly<Record<Language, Readonly<Record<Topic, string>>>> = {
  en: {
    ...{ quality: 'product quality', delivery: 'delivery', price: 'price', support: 'customer service' },
    ...{ usability: 'ease of use', health: 'effect on health', other: 'the experience as a whole' },
  },
  es: {
    ...{
      quality: 'la calidad del producto',
      delivery: 'la entrega',
      price: 'el precio',
      support: 'la atención al cliente',
    },
    ...{ usability: 'la facilidad de uso', health: 'el efecto en la salud', other: 'la experiencia en general' },
  },
  fr: {
    ...{ quality: 'la qualité du produit', delivery: 'la livraison', price: 'le prix', support: 'le service client' },
    ...{ usability: "la facilité d'utilisation", health: "l'effet sur la santé", other: "l'expérience en général" },
  },
};

/** What the local analysis writes, in the language of the text. */
export const PHRASES: Readonly<Record<Language, Phrases>> = {
  en: {
    insights: {
      negative: (topic) => `The customer is dissatisfied with ${NAMES.en[topic]}.`,
      positive: (topic) => `The customer values ${NAMES.en[topic]}.`,
    },
    recommendations: {
      negative: (topic) => `Contact the customer and correct what is wrong with ${NAMES.en[topic]}.`,
      neutral: (topic) => `Answer the customer; the subject is ${NAMES.en[topic]}.`,
      positive: (topic) => `Thank the customer and use ${NAMES.en[topic]} in communication.`,
    },
    safety: 'Report this to the safety team today and ask the customer how they are.',
  },
  es: {
    insights: {
      negative: (topic) => `El cliente no está satisfecho con ${NAMES.es[topic]}.`,
      positive: (topic) => `El cliente valora ${NAMES.es[topic]}.`,
    },
    recommendations: {
      negative: (topic) => `Contactar con el cliente y corregir lo que falla en ${NAMES.es[topic]}.`,
      neutral: (topic) => `Responder al cliente; el tema es ${NAMES.es[topic]}.`,
      positive: (topic) => `Dar las gracias al cliente y destacar ${NAMES.es[topic]} en la comunicación.`,
    },
    safety: 'Comunicarlo hoy al equipo de seguridad y preguntar al cliente cómo se encuentra.',
  },
  fr: {
    insights: {
      negative: (topic) => `Le client est mécontent : ${NAMES.fr[topic]}.`,
      positive: (topic) => `Le client apprécie ${NAMES.fr[topic]}.`,
    },
    recommendations: {
      negative: (topic) => `Contacter le client et corriger ce qui ne va pas : ${NAMES.fr[topic]}.`,
      neutral: (topic) => `Répondre au client ; le sujet est ${NAMES.fr[topic]}.`,
      positive: (topic) => `Remercier le client et mettre en avant ${NAMES.fr[topic]}.`,
    },
    safety: "Le signaler aujourd'hui à l'équipe de sécurité et demander au client comment il va.",
  },
};
