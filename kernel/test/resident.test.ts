import { expect, test } from 'vitest';
import { ResidentMemory } from '../src/resident.js';

const MIB = 2 ** 20;

/** A process whose memory goes through these values, in MiB: resident, most ever. */
function processOf(...values: ([number, number] | null)[]): (pid: number) => {
  residentBytes: number;
  highWaterBytes: number;
} | null {
  return () => {
    const value = values.shift() ?? null;
    return value === null ? null : { residentBytes: value[0] * MIB, highWaterBytes: value[1] * MIB };
  };
}

test('a high-water mark that has risen is the exact peak', () => {
  const memory = new ResidentMemory(1, processOf([100, 120], [130, 150], [110, 150]));
  memory.sample();
  expect(memory.beforeBytes).toBe(100 * MIB);
  expect(memory.soFar(5000)).toEqual({ peakBytes: 150 * MIB, isExact: true, endBytes: 110 * MIB, ownBytes: 5000 });
});

test('below an earlier high-water mark the largest sample stands for the peak', () => {
  const memory = new ResidentMemory(1, processOf([100, 500], [130, 500], [120, 500], [110, 500]));
  memory.sample();
  memory.sample();
  expect(memory.soFar()).toEqual({ peakBytes: 130 * MIB, isExact: false, endBytes: 110 * MIB });
});

test('of a process that has ended the samples are left', () => {
  const memory = new ResidentMemory(1, processOf([100, 100], [130, 130], null));
  memory.sample();
  expect(memory.soFar()).toEqual({ peakBytes: 130 * MIB, isExact: false, endBytes: null });
});

test('where nothing can be read nothing is said', () => {
  expect(new ResidentMemory(1, processOf(null)).soFar()).toBeNull();
  expect(new ResidentMemory(1, processOf([100, 100], null)).soFar()).toBeNull();
});

test('the memory of a live process is read from the system', () => {
  const memory = new ResidentMemory(process.pid);
  expect(memory.beforeBytes).toBeGreaterThan(10 * MIB);
  expect(memory.soFar()?.endBytes).toBeGreaterThan(10 * MIB);
});
