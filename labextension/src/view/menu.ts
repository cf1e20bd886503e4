/**
 * A button with a menu under it, by the pattern of the ARIA authoring practices.
 */
import { element } from './dom.js';

export interface MenuItem {
  readonly label: string;
  /** A heading above it; empty for none. */
  readonly section?: string;
  run(): void;
}

export class Menu {
  readonly element = element('div', { class: 'fil-menu' });
  readonly #button: HTMLButtonElement;
  readonly #list = element('div', { class: 'fil-menu-list', attributes: { role: 'menu' } });
  readonly #items: () => readonly MenuItem[];
  readonly #onPointer = (event: Event): void => {
    if (event.target instanceof Node && !this.element.contains(event.target)) {
      this.#close();
    }
  };

  /** @param items what is in it, asked for each time that it opens. */
  constructor(name: string, items: () => readonly MenuItem[]) {
    this.#items = items;
    this.#button = element(
      'button',
      {
        class: 'fil-button',
        title: name,
        attributes: { type: 'button', 'aria-haspopup': 'menu', 'aria-expanded': 'false', 'aria-label': name },
      },
      '⋯',
    );
    this.#list.hidden = true;
    this.element.append(this.#button, this.#list);
    this.element.setAttribute('data-lm-suppress-shortcuts', 'true');
    this.#button.addEventListener('click', () => {
      if (this.#list.hidden) {
        this.#open();
      } else {
        this.#close();
      }
    });
    this.element.addEventListener('keydown', (event) => {
      this.#onKey(event);
    });
  }

  dispose(): void {
    this.#close();
  }

  #open(): void {
    const parts: HTMLElement[] = [];
    for (const item of this.#items()) {
      if (item.section !== undefined) {
        parts.push(element('div', { class: 'fil-menu-section' }, item.section));
      }
      const entry = element('button', { attributes: { type: 'button', role: 'menuitem', tabindex: '-1' } }, item.label);
      entry.addEventListener('click', () => {
        this.#close();
        this.#button.focus();
        item.run();
      });
      parts.push(entry);
    }
    this.#list.replaceChildren(...parts);
    this.#list.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.#entries()[0]?.focus();
    document.addEventListener('pointerdown', this.#onPointer, { capture: true });
  }

  #close(): void {
    this.#list.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', this.#onPointer, { capture: true });
  }

  #entries(): HTMLElement[] {
    return Array.from(this.#list.querySelectorAll<HTMLElement>('[role=menuitem]'));
  }

  #onKey(event: KeyboardEvent): void {
    if (this.#list.hidden) {
      return;
    }
    const entries = this.#entries();
    const here = entries.findIndex((entry) => entry === document.activeElement);
    switch (event.key) {
      case 'Escape':
        this.#close();
        this.#button.focus();
        break;
      case 'ArrowDown':
        entries[(here + 1) % entries.length]?.focus();
        break;
      case 'ArrowUp':
        entries[(here - 1 + entries.length) % entries.length]?.focus();
        break;
      case 'Tab':
        this.#close();
        return;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
