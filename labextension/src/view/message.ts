/**
 * In place of a picture that can't be drawn: why, and the text form, which still says what matters.
 */
import { element } from './dom.js';

/** @param text the report's plain-text form; empty if there is none. */
export function messageElement(error: unknown, text: string): HTMLElement {
  const reason = error instanceof Error ? error.message : String(error);
  const message = element(
    'section',
    { class: 'fil-report fil-unreadable' },
    element('p', { class: 'fil-note', attributes: { role: 'alert' } }, reason),
  );
  if (text !== '') {
    message.append(element('pre', {}, text));
  }
  return message;
}
