/**
 * The colours of the page's theme, for pictures that are saved: they look as they did on the screen.
 */
import { DELTA_LEVELS, deltaLevel } from '../../../schema/tree/compare.js';
import { element } from './dom.js';
import { certainDeltaBytes, type FlameFrame, HEAT_LEVELS } from '../../../schema/tree/model.js';
import type { StillColours } from './still.js';

/**
 * @param within an element of the report, whose theme counts.
 * @param comparedPeakBytes the larger of two peaks that are compared; null if none are.
 */
export function stillColours(within: HTMLElement, comparedPeakBytes: number | null): StillColours {
  const probe = element('span');
  within.append(probe);
  const resolved = (colour: string): string => {
    probe.style.color = '';
    probe.style.color = colour;
    return getComputedStyle(probe).color;
  };
  const heats = Array.from({ length: HEAT_LEVELS + 1 }, (_, heat) => resolved(`var(--fil-heat-${Math.max(1, heat)})`));
  const deltas = new Map(
    Array.from({ length: 2 * DELTA_LEVELS + 1 }, (_, nth) => {
      const level = nth - DELTA_LEVELS;
      const name = level === 0 ? 'neutral' : level < 0 ? `less-${-level}` : `more-${level}`;
      return [level, resolved(`var(--fil-${name})`)];
    }),
  );
  const [paper, ink, heatInk, hottestInk, neutral] = ['paper', 'ink', 'heat-ink', 'hottest-ink', 'neutral'].map(
    (name) => resolved(`var(--fil-${name})`),
  ) as [string, string, string, string, string];
  probe.remove();
  const heatOf = ({ heat, frame }: FlameFrame): { fill: string; ink: string } => {
    if (frame.kind === 'other' || frame.kind === 'skipped-callers') {
      return { fill: neutral, ink };
    }
    return { fill: heats[heat] ?? neutral, ink: heat === HEAT_LEVELS ? hottestInk : heatInk };
  };
  return {
    paper,
    ink,
    frame: (frame) => {
      if (comparedPeakBytes === null) {
        return heatOf(frame);
      }
      const level = deltaLevel(certainDeltaBytes(frame), comparedPeakBytes);
      return { fill: deltas.get(level) ?? neutral, ink: Math.abs(level) === DELTA_LEVELS ? hottestInk : heatInk };
    },
  };
}
