/** A decimal of a file or a database, with the digits it has there: 3.30 stays 3.30. Fields of numbers take its number, fields of strings its text. */
export class ExactDecimal {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }

  toJSON(): string {
    return this.text;
  }
}
