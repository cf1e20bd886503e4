/**
 * Text inside XML.
 */
import { escapeUTF8 } from 'entities/escape';

/** What an XML 1.0 document can't hold, not even escaped (section 2.2, Char): most control characters, lone surrogates, U+FFFE, U+FFFF. */
const IMPOSSIBLE =
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Nothing that needs a closer look. */
const PLAIN = /^[\n\x20-\x7e]*$/;

/** Text for an element's content or a quoted attribute. */
export function xmlText(text: string): string {
  return escapeUTF8(PLAIN.test(text) ? text : text.replace(IMPOSSIBLE, '\ufffd'));
}
