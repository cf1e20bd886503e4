/**
 * How a flamegraph that is a file of its own places its frames: the program that writes it and the script inside it agree here.
 */

/** Pixels left free on either side. */
export const MARGIN = 8;
/** Width of a character of the 11 px font, a little above the mean: a cut label is better than one that runs into the next frame. */
const CHARACTER = 6.4;
const NARROWEST_LABEL = 30;
/** Narrower frames can't be seen. */
export const NARROWEST = 0.2;

/**
 * What stands on a frame.
 *
 * @param lines of its title: where it is, its source line if known, its bytes.
 * @param width in pixels.
 */
export function pictureLabel(lines: readonly string[], width: number): string {
  return width < NARROWEST_LABEL ? '' : shorten(lines.slice(0, -1).join('  '), fitting(width - 6));
}

/** How many characters of the 11 px font fit into so many pixels. */
export function fitting(width: number): number {
  return Math.floor(width / CHARACTER);
}

/** Cut by characters, never inside a surrogate pair; empty if there is no room for three. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) {
    return text;
  }
  // No character has more than two code units.
  const characters = Array.from(text.slice(0, 2 * Math.max(0, most) + 2));
  if (characters.length <= most) {
    return text;
  }
  return most < 3 ? '' : `${characters.slice(0, most - 1).join('')}…`;
}
