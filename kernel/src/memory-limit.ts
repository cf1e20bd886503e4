/**
 * How much memory there is for a process.
 */
import { totalmem } from 'node:os';
import type { MemoryLimit } from '../../schema/report.js';

/** The limit of the control group that we and the profiled process are in, where there is one below the machine's memory. */
export function memoryLimit(constrainedBytes = process.constrainedMemory(), machineBytes = totalmem()): MemoryLimit {
  return constrainedBytes > 0 && constrainedBytes < machineBytes
    ? { of: 'container', bytes: constrainedBytes }
    : { of: 'machine', bytes: machineBytes };
}
