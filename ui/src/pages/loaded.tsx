// What an answer of the server looks like while it is awaited and when it fails; after that, its data.

import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { ApiError } from '../api/client';
import type { Answer } from '../api/types';
import { Failure, Skeleton } from '../components/states';

/** A failed request, with what the server said of it. */
export function Problem({ error, title, retry }: { error: Error; title?: string; retry: () => void }) {
  const problem = error instanceof ApiError ? error.problem : null;
  return <Failure title={title ?? problem?.title ?? error.message} detail={error.message} requestId={problem?.request_id} retry={retry} />;
}

interface Props<T> {
  answer: UseQueryResult<Answer<T>>;
  /** Heights of what will be there, in pixels. */
  heights: number[];
  /** Whether the answer fills the page, which then has to be around the states as well. */
  page?: boolean;
  /** What a page has better words for than the usual ones. */
  failed?: (error: Error) => ReactNode;
  children: (data: T) => ReactNode;
}

export function Loaded<T>({ answer, heights, page = false, failed, children }: Props<T>) {
  if (answer.isSuccess) return children(answer.data.data);
  const state = answer.isPending
    ? heights.map((height) => <Skeleton key={height} height={height} />)
    : (failed?.(answer.error) ?? <Problem error={answer.error} retry={() => void answer.refetch()} />);
  return page ? <div className="page">{state}</div> : state;
}
