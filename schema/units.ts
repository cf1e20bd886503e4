/**
 * Bytes as people read them: binary units with their right names. In a memory profiler a wrong unit is a wrong answer.
 */

/** Binary: 1 KiB is 1,024 B. Decimal: 1 kB is 1,000 B. */
export type UnitSystem = 'binary' | 'decimal';

const SYSTEMS = {
  binary: { base: 1024, units: ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] },
  decimal: { base: 1000, units: ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] },
} as const satisfies Record<UnitSystem, { readonly base: number; readonly units: readonly string[] }>;

let system: (typeof SYSTEMS)[UnitSystem] = SYSTEMS.binary;

/** From now on bytes are shown in these units. A page has one reader, hence no parameter everywhere. */
export function useUnits(chosen: UnitSystem): void {
  system = SYSTEMS[chosen];
}

/**
 * A number of bytes for a reader: `1536` is `"1.5 KiB"`. One decimal, none for plain bytes.
 *
 * @param bytes any finite number; negative values (differences) keep their sign.
 */
export function formatBytes(bytes: number): string {
  const { base, units } = system;
  let value = Math.abs(bytes);
  let unit = 0;
  // 1023.95 and more would be rounded to "1024.0" of the smaller unit.
  while (value >= (unit === 0 ? base : base - 0.05) && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const sign = bytes < 0 ? '-' : '';
  const digits = unit === 0 ? String(Math.round(value)) : value.toFixed(1);
  return `${sign}${digits} ${units[unit]}`;
}

/** A difference for a reader, with its sign: `"+1.5 KiB"`, `"-2.0 MiB"`, `"±0 B"`. */
export function formatDelta(bytes: number): string {
  return bytes === 0 ? '±0 B' : `${bytes > 0 ? '+' : '-'}${formatBytes(Math.abs(bytes))}`;
}

/**
 * A part of a whole for a reader: `"66 %"`, with a decimal below ten per cent, `"< 0.1 %"` for traces.
 *
 * @param part any number of the same unit as `whole`.
 * @param whole the whole; zero gives `"0 %"`.
 */
export function formatShare(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) {
    return '0 %';
  }
  const percent = (100 * part) / whole;
  if (percent < 0.1) {
    return '< 0.1 %';
  }
  return percent < 9.95 ? `${percent.toFixed(1)} %` : `${Math.round(percent)} %`;
}

/** Seconds for a reader: `"42 ms"`, `"4.8 s"`, `"3 min 5 s"`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.9995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
