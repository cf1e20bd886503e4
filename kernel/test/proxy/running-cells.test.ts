import { beforeEach, describe, expect, test } from 'vitest';
import { RunningCells } from '../../src/proxy/running-cells.js';
import { publication, Signer } from '../../src/proxy/wire.js';

const signer = new Signer('key');
let cells: RunningCells;
beforeEach(() => {
  cells = new RunningCells(signer);
});

/** A request as a client sends it; its header has a given id. */
function request(id: string, type = 'execute_request'): void {
  const header = Buffer.from(JSON.stringify({ msg_id: id, msg_type: type }));
  const signed = [header, ...['{}', '{}', '{}'].map((text) => Buffer.from(text))];
  cells.observeRequest([Buffer.from('client'), Buffer.from('<IDS|MSG>'), Buffer.from(signer.sign(signed)), ...signed]);
}

const begins = (id: string, by = signer) => {
  cells.observePublication(publication(by, 'kernel.1.execute_input', 'execute_input', {}, { msg_id: id }));
};
const status = (id: string, state: string) => {
  cells.observePublication(
    publication(signer, 'kernel.1.status', 'status', { execution_state: state }, { msg_id: id }),
  );
};
const running = () => cells.parentHeaders.map((header) => header['msg_id']);

describe('running cells', () => {
  test('a cell runs from its beginning until it is idle', () => {
    request('a');
    status('a', 'busy');
    begins('a');
    expect(running()).toEqual(['a']);
    status('a', 'idle');
    expect(running()).toEqual([]);
  });

  test('of waiting cells, only those that have begun run', () => {
    ['a', 'b', 'c'].forEach((id) => {
      request(id);
    });
    begins('b');
    expect(running()).toEqual(['b']);
  });

  test('if none was heard to begin, the first that waits runs', () => {
    request('a');
    request('b');
    expect(running()).toEqual(['a']);
  });

  test('the end of another request is not the end of the cell', () => {
    request('a');
    begins('a');
    status('usage', 'idle');
    expect(running()).toEqual(['a']);
  });

  test('requests other than to execute are no cells', () => {
    request('a', 'complete_request');
    begins('x');
    expect(running()).toEqual([]);
  });

  test('messages that are not signed are not believed', () => {
    request('a');
    request('b');
    begins('b', new Signer('other'));
    expect(running()).toEqual(['a']);
  });
});
