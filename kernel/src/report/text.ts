/**
 * Text that user code can influence (names, file names, source lines), made fit to be shown.
 */

/**
 * Characters that would act instead of show: control characters (a terminal obeys them), line separators, and the bidirectional
 * controls that let source text look like something else (CVE-2021-42574).
 */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const ACTING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Nothing that needs a closer look: most texts. */
const PLAIN = /^[\x20-\x7e]*$/;

/** One half of a surrogate pair alone: Python's file names have them, UTF-8 can't hold them. */
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * One line of text without characters that act: tabs become spaces, others U+FFFD, and what is too long ends in an ellipsis.
 *
 * @param longest in UTF-16 code units, at least 1.
 */
export function displayable(text: string, longest: number): string {
  if (PLAIN.test(text) && text.length <= longest) {
    return text;
  }
  const shown = text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
  // Lone surrogates last: cutting can split a pair.
  return shown.replace(/\t/g, ' ').replace(ACTING, '\ufffd').replace(LONE_SURROGATE, '\ufffd');
}
