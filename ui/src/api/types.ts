// The shapes of the API by the names the UI uses. They come from the OpenAPI document; `npm run types`
// writes them again.

import type { components } from './generated/schema';

type Schemas = components['schemas'];

/** How an answer came about. */
export type Meta = Schemas['Meta'];

export interface Answer<T> {
  data: T;
  meta: Meta;
}

/** A figure and its course. */
export type Figure = Schemas['Trend'];
export type Service = Schemas['Service'];
export type Operation = Schemas['Operation'];
export type Instance = Schemas['Instance'];
export type LatestMetric = Schemas['LatestMetric'];
export type SeriesQuery = Schemas['Figure'];
export type SeriesAnswer = Schemas['SeriesData'];
export type SearchLine = Schemas['SearchLine'];
export type SearchProgress = Schemas['SearchProgress'];
export type TraceRow = Schemas['TraceRow'];
export type TraceColumns = Schemas['TraceColumns'];
export type SpanDetails = Schemas['SpanDetails'];
export type ServerMeta = Schemas['ServerMeta'];
export type Problem = Schemas['Problem'];
export type Heatmap = Schemas['Heatmap'];
export type HeatmapRequest = Schemas['HeatmapRequest'];
export type AggregateRequest = Schemas['AggregateRequest'];
export type AggregateAnswer = Schemas['AggregateData'];
export type AggregateSeries = Schemas['AggregateSeries'];
export type AggregateUnit = Schemas['AggregateUnit'];
export type Analysis = Schemas['Analysis'];
export type Completion = Schemas['Completion'];
export type Facets = Schemas['Facets'];
export type SqlRequest = Schemas['SqlRequest'];
export type SqlAnswer = Schemas['SqlData'];
export type SqlViews = Schemas['SqlViews'];
export type SqlView = Schemas['SqlView'];
export type SqlLimits = Schemas['SqlLimits'];
