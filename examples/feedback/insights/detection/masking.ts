/** Personal data, as the placeholders name it. */
export const ENTITIES = [
  'EMAIL',
  'URL',
  'CARD',
  'IBAN',
  'IP',
  'ID',
  'PHONE',
  'DATE',
  'NAME',
  'ADDRESS',
  'NUMBER',
] as const;
export type MaskedEntity = (typeof ENTITIES)[number];

interface Recognizer {
  readonly entity: MaskedEntity;
  readonly pattern: RegExp;
  /** Decides by a checksum or the like; default: every match counts. */
  readonly holds?: (match: string) => boolean;
}

const digitsOf = (text: string): string => text.replace(/\D/g, '');

/** ISO/IEC 7812-1, Annex B. */
function passesLuhn(text: string): boolean {
  const digits = digitsOf(text);
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits.at(-1 - at)) * (at % 2 === 0 ? 1 : 2);
    sum += digit > 9 ? digit - 9 : digit;
  }
  return digits.length >= 13 && digits.length <= 19 && sum % 10 === 0;
}

/** ISO 13616-1: the remainder by 97 is 1. */
function passesIban(text: string): boolean {
  const compact = text.replace(/[\s-]/g, '').toUpperCase();
  const turned = compact.slice(4) + compact.slice(0, 4);
  let remainder = 0;
  for (const character of turned)
    for (const digit of String(Number.parseInt(character, 36))) remainder = (remainder * 10 + Number(digit)) % 97;
  return remainder === 1;
}

const MONTHS =
  'jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|' +
  'enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|' +
  'janvier|f[ée]vrier|mars|avril|mai|juin|juillet|ao[uû]t|septembre|octobre|novembre|d[ée]cembre';

/** Words that end a name written without capitals. */
const AFTER_NAMES = '(?:and|but|from|i|my|the|y|e|pero|soy|vivo|mi|el|la|et|mais|je|j|mon|ma)(?![\\p{L}])';

const NAME = "\\p{Lu}[\\p{L}'’-]+(?:\\s+(?:de|del|la|van|von|du|le)?\\s*\\p{Lu}[\\p{L}'’-]+){0,2}";

/** In order: what an earlier one masks, a later one does not see. Quantifiers are bounded: a text of 5,000 characters takes well below a millisecond. */
const RECOGNIZERS: readonly Recognizer[] = [
  { entity: 'EMAIL', pattern: /[\p{L}\p{N}._%+-]{1,64}@[\p{L}\p{N}.-]{1,190}\.\p{L}{2,24}/gu },
  // "ann (at) mail (dot) com"
  {
    entity: 'EMAIL',
    pattern:
      /[\p{L}\p{N}._%+-]{1,64} ?[([{](?:at|arroba|arobase)[)\]}] ?[\p{L}\p{N}-]{1,64}(?: ?(?:\.|[([{](?:dot|punto|point)[)\]}]) ?[\p{L}\p{N}-]{2,24}){1,4}/giu,
  },
  { entity: 'URL', pattern: /\b(?:https?:\/\/|www\.)[^\s<>"]{1,500}/giu },
  {
    entity: 'IBAN',
    pattern: /\b[A-Z]{2}\d{2}(?:[\s-]?[A-Z0-9]{4}){2,7}(?:[\s-]?[A-Z0-9]{1,3})?\b/gi,
    holds: passesIban,
  },
  { entity: 'CARD', pattern: /\b\d(?:[ -]?\d){12,18}\b/g, holds: passesLuhn },
  {
    entity: 'IP',
    pattern: /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)/g,
    holds: (match) => match.split('.').every((part) => Number(part) < 256),
  },
  // Social security (US), DNI and NIE (Spain), NIR (France), CURP (Mexico), RUT (Chile).
  {
    entity: 'ID',
    pattern:
      /\b(?:\d{3}-\d{2}-\d{4}|[XYZ]?\d{7,8}-?[A-Z]|\d{1,2}\.\d{3}\.\d{3}-?[\dA-Zk]|[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d|[12] ?\d{2} ?(?:0\d|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3}(?: ?\d{2})?)\b/g,
  },
  {
    entity: 'DATE',
    pattern:
      /(?<![\d/.-])(?:\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)\d{2}|\d{1,2}([/-])\d{1,2}\1\d{2}|(?:19|20)\d{2}-\d{2}-\d{2})(?![/.-]?\d)/g,
  },
  {
    entity: 'DATE',
    pattern: new RegExp(
      `(?<![\\p{L}\\p{N}])(?:\\d{1,2}(?:st|nd|rd|th|er)?,? (?:de |of )?(?:${MONTHS})|(?:${MONTHS}) \\d{1,2}(?:st|nd|rd|th)?),? (?:del? )?(?:19|20)\\d{2}(?!\\d)`,
      'giu',
    ),
  },
  {
    entity: 'PHONE',
    pattern: /(?<![\p{L}\p{N}])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,4}\)?){2,5}(?![\p{L}\p{N}])/gu,
    holds: (match) => digitsOf(match).length >= 8 && digitsOf(match).length <= 15,
  },
  {
    entity: 'ADDRESS',
    pattern:
      /\b\d{1,5},?\s+(?:\p{L}[\p{L}'’.-]*\s+){1,3}(?:street|st\.|road|rd\.|avenue|ave\.|lane|drive|boulevard)(?!\p{L})/giu,
  },
  {
    entity: 'ADDRESS',
    pattern:
      /(?<!\p{L})(?:calle|c\/|avenida|avda\.?|plaza|paseo)\s+(?:\p{L}[\p{L}'’.-]*,?\s+){1,5}(?:n[º°o]\.?\s*)?\d{1,4}/giu,
  },
  {
    entity: 'ADDRESS',
    pattern:
      /\b\d{1,4},?\s+(?:bis\s+)?(?:rue|avenue|boulevard|place|chemin|impasse|all[ée]e)\s+(?:\p{L}[\p{L}'’.-]*\s?){1,5}/giu,
  },
  // "my name is ann smith": said to be a name, with capitals or without.
  {
    entity: 'NAME',
    pattern: new RegExp(
      `(?<=(?<!\\p{L})(?:my name is|my name's|i am called|me llamo|mi nombre es|je m['’]appelle|mon nom est) )(?!${AFTER_NAMES})[\\p{L}][\\p{L}'’-]*(?: (?!${AFTER_NAMES})[\\p{L}][\\p{L}'’-]*)?(?: (?!${AFTER_NAMES})\\p{Lu}[\\p{L}'’-]+)?`,
      'giu',
    ),
  },
  // "I am Ann Smith": two names or more, as one may be of a people or a trade.
  {
    entity: 'NAME',
    pattern:
      /(?<=(?<!\p{L})(?:[Tt]his is|I am|I['’]m|[Ss]oy|[Ss]oy el señor|[Hh]abla|[Jj]e suis|[Ii]ci) )\p{Lu}[\p{L}'’-]+(?: (?:de |del |la |van |von |du |le ){0,2}\p{Lu}[\p{L}'’-]+){1,3}/gu,
  },
  {
    entity: 'NAME',
    pattern: new RegExp(
      `(?<=(?<!\\p{L})(?:Mr|Mrs|Ms|Dr|Dra|Sr|Sra|Mme|Mlle|M|Don|Doña|Señor|Señora|Monsieur|Madame|Doctor|Docteur|Doctora)\\.?\\s)${NAME}`,
      'gu',
    ),
  },
  // Signatures: "Regards, Ann Smith". Less formal ones end their line.
  {
    entity: 'NAME',
    pattern: new RegExp(
      `(?<=(?:[Rr]egards|[Ss]incerely|[Ss]aludos?|[Aa]tentamente|[Cc]ordialement|[Bb]ien à vous),?\\s)${NAME}`,
      'gu',
    ),
  },
  {
    entity: 'NAME',
    pattern: new RegExp(
      `(?<=(?:[Tt]hanks|[Tt]hank you|[Cc]heers|[Bb]est|[Yy]ours|[Gg]racias|[Aa]brazos?|[Mm]erci|[Aa]mitiés|[Bb]isous)[,.!]?\\s)${NAME}(?=[.!]?\\s*(?:$|\\n))`,
      'gu',
    ),
  },
  // Of customers, orders and contracts.
  { entity: 'NUMBER', pattern: /(?<![\p{L}\p{N}])\p{Lu}{0,4}-?\d{5,}(?![\p{L}\p{N}])/gu },
];

export interface Masked {
  readonly text: string;
  /** How many of each were masked. */
  readonly counts: Readonly<Partial<Record<MaskedEntity, number>>>;
}

/** As it is read: wide letters and digits as plain ones, each kind of space as one, without characters that have no width. */
const asRead = (text: string): string =>
  text
    .normalize('NFKC')
    .replace(/\p{Cf}/gu, '')
    .replace(/[\p{Zs}\p{Cc}]/gu, (space) => (space === '\n' ? space : ' '));

/** Replaces personal data by placeholders, such as `<EMAIL>`, in the text as it is read. */
export function mask(text: string): Masked {
  const counts: Partial<Record<MaskedEntity, number>> = {};
  let masked = asRead(text);
  for (const { entity, pattern, holds } of RECOGNIZERS) {
    masked = masked.replace(pattern, (match) => {
      if (holds !== undefined && !holds(match)) return match;
      counts[entity] = (counts[entity] ?? 0) + 1;
      return `<${entity}>`;
    });
  }
  return { text: masked, counts };
}
