// Statements to begin with.

export interface Example {
  title: string;
  statement: string;
}

export const EXAMPLES: Example[] = [
  {
    title: 'The slowest operations',
    statement: `SELECT service, name, count(*) AS hits,
       round(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6, 1) AS p95_ms
FROM spans
WHERE is_entry
GROUP BY service, name
ORDER BY p95_ms DESC
LIMIT 20`,
  },
  {
    title: 'Requests and failures by minute',
    statement: `SELECT date_trunc('minute', time) AS minute, sum(hits) AS hits, sum(errors) AS errors
FROM span_metrics
WHERE kind = 'server'
GROUP BY minute
ORDER BY minute`,
  },
  {
    title: 'What calls what',
    statement: `SELECT parent.service AS caller, child.service AS called, count(*) AS calls
FROM spans AS child
JOIN spans AS parent ON child.trace_id = parent.trace_id AND child.parent_id = parent.span_id
WHERE child.service <> parent.service
GROUP BY caller, called
ORDER BY calls DESC`,
  },
  {
    title: 'The slowest request of each operation, with its trace',
    statement: `WITH ranked AS (
  SELECT name, trace_id, duration_ns,
         row_number() OVER (PARTITION BY name ORDER BY duration_ns DESC) AS place
  FROM spans
  WHERE is_root
)
SELECT name, trace_id, duration_ns FROM ranked WHERE place = 1 ORDER BY duration_ns DESC`,
  },
  {
    title: 'Traces with many calls to a database',
    statement: `SELECT trace_id, count(*) AS calls, sum(duration_ns) / 1e6 AS total_ms
FROM spans
WHERE db_system IS NOT NULL
GROUP BY trace_id
HAVING count(*) > 10
ORDER BY calls DESC`,
  },
  {
    title: 'Which attributes there are',
    statement: `SELECT key, count(*) AS spans
FROM (SELECT unnest(map_keys(attributes)) AS key FROM spans)
GROUP BY key
ORDER BY spans DESC
LIMIT 50`,
  },
  {
    title: 'Failures by the status that was answered',
    statement: `SELECT attr(attributes, 'http.response.status_code') AS status, name, count(*) AS spans, max(time) AS last
FROM spans
WHERE is_error
GROUP BY status, name
ORDER BY spans DESC`,
  },
  {
    title: 'How a statement would be answered',
    statement: `EXPLAIN SELECT count(*) FROM spans WHERE service = 'flaskr'`,
  },
];
