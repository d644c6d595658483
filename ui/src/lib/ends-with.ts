// Questions that go with another one and end with it.

import { type QueryKey, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

/** Ends the questions whose keys begin so when what they go with was stopped. They can be asked again one by one. */
export function useEndsWith(isStopped: boolean, keys: QueryKey): void {
  const client = useQueryClient();
  const written = JSON.stringify(keys);
  useEffect(() => {
    if (isStopped) void client.cancelQueries({ queryKey: JSON.parse(written) as QueryKey });
  }, [isStopped, written, client]);
}

/** Whether there is no answer to a question, and none under way, because it ended so. */
export const wasLeft = (isStopped: boolean, { fetchStatus, isPending, isPlaceholderData }: { fetchStatus: string; isPending: boolean; isPlaceholderData: boolean }): boolean =>
  isStopped && fetchStatus === 'idle' && (isPending || isPlaceholderData);
