import { describe, expect, test } from '@jest/globals';
import { untilProcessed } from '#connectors/dynamodb/dynamodb';
import { itemBytes, itemProblem } from '#connectors/dynamodb/item_size';

describe('requests that DynamoDB leaves unprocessed', () => {
  test('are sent again with growing delays, and only they', async () => {
    const sent: number[][] = [];
    const delays: number[] = [];
    const send = async (left: readonly number[]): Promise<readonly number[]> => {
      sent.push([...left]);
      return left.filter((each) => each >= sent.length);
    };
    await untilProcessed([1, 2, 3, 4], 't', send, async (delayMs) => void delays.push(delayMs));
    expect(sent).toEqual([[1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4], [3, 4], [4]]);
    expect(delays.every((delayMs, at) => delayMs >= 12.5 * 2 ** at && delayMs <= 25 * 2 ** at)).toBe(true);
  });

  test('after eight attempts the table is named', async () => {
    let attempts = 0;
    const never = async (left: readonly number[]): Promise<readonly number[]> => {
      attempts += 1;
      return left;
    };
    await expect(untilProcessed([1, 2], 'prices', never, async () => {})).rejects.toMatchObject({
      ...{ code: 'CONNECTOR_UNAVAILABLE', retryable: true },
      message: expect.stringMatching(/table prices.*2 of 2 requests were left unprocessed 8 times/),
    });
    expect(attempts).toBe(8);
  });
});

test('the size of an item counts names and values in UTF-8', () => {
  expect(itemBytes({ pk: { S: 'é' }, at: { N: '1' } })).toBe(2 + 2 + 2 + 21);
  expect(itemProblem({ pk: { S: 'k' }, row: { S: 'x'.repeat(409_594) } })).toBeUndefined();
  expect(itemProblem({ pk: { S: 'k' }, row: { S: 'x'.repeat(409_595) } })).toMatch(/409601 bytes/);
});
