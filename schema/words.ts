/**
 * Sentences for readers, in the language of the page that shows them. The kernel and the one-file page speak English; in Lab the
 * extension hands in Lab's translator.
 */

/** `text` is English, with `%1`, `%2`, … where the values go. */
export type Translator = (text: string, ...values: string[]) => string;

const english: Translator = (text, ...values) =>
  text.replace(/%(\d)/g, (place, nth: string) => values[Number(nth) - 1] ?? place);

let translator = english;

/** A sentence with its values. */
export function say(text: string, ...values: (string | number)[]): string {
  return translator(text, ...values.map(String));
}

/** From now on sentences come from this translator; null for English. One page has one language, hence no parameter everywhere. */
export function useTranslator(replacement: Translator | null): void {
  translator = replacement ?? english;
}
