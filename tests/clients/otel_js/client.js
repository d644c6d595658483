// An application with OpenTelemetry's own SDK for JavaScript:
//
//     client.js report grpc|http|json ENDPOINT delta|cumulative
//     client.js serve NAME [NEXT URL]
//
// The first sends what tests/clients/otel.py sends, and prints the ids of trace and span as JSON. The second serves
// until its input ends, prints its port first, and requests the next service; it is told by variables where to send.

const api = require("@opentelemetry/api");
const { logs, SeverityNumber } = require("@opentelemetry/api-logs");
const { NodeSDK, logs: sdkLogs, metrics: sdkMetrics, resources, tracing } = require("@opentelemetry/sdk-node");

const [, , MODE, ...REST] = process.argv;

/** Exporters of a signal, by protocol. */
function exporter(signal, protocol, endpoint, more = {}) {
  const packages = { grpc: "grpc", http: "proto", json: "http" };
  const found = require(`@opentelemetry/exporter-${signal}-otlp-${packages[protocol]}`);
  const [name] = Object.keys(found).filter((name) => /^OTLP(Trace|Metric|Log)Exporter$/.test(name));
  const paths = { trace: "traces", metrics: "metrics", logs: "logs" };
  const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/${paths[signal]}`;
  return new found[name]({ url, compression: "gzip", ...more });
}

/** Every kind of instrument. */
function measure(meter) {
  const orders = meter.createCounter("shop.orders", { unit: "{order}", description: "Orders taken" });
  const stock = meter.createUpDownCounter("shop.stock", { unit: "{item}" });
  const took = meter.createHistogram("shop.took", {
    unit: "ms",
    advice: { explicitBucketBoundaries: [10, 20, 40] },
  });
  const fine = meter.createHistogram("shop.fine", { unit: "ms" });
  const load = meter.createGauge("shop.load", { unit: "1" });
  const memory = meter.createObservableGauge("process.memory.usage", { unit: "By" });
  memory.addCallback((result) => result.observe(1 << 20, { "process.memory.type": "heap" }));
  meter.createObservableCounter("process.cpu.time", { unit: "s" }).addCallback((result) => result.observe(2.5));
  orders.add(2, { route: "/pay" });
  orders.add(5, { route: "/basket" });
  orders.add(4, { route: "/pay" });
  stock.add(10);
  stock.add(-3);
  for (let number = 0; number < 40; number++) {
    took.record(number, { route: "/pay" });
    fine.record(1 << (number % 4));
  }
  load.record(0.25);
  load.record(0.75);
}

/** A second ago; records of one millisecond have no order. */
let time = Date.now() - 1000;

/** Spans and records within a trace, and records outside of it; the ids of the trace's root. */
function work(tracer, meter) {
  const log = logs.getLogger("shop.pay");
  const ids = tracer.startActiveSpan("pay", { attributes: { user: "ada", tries: 2, paid: false } }, (span) => {
    measure(meter);
    log.emit({
      timestamp: time++,
      severityNumber: SeverityNumber.INFO,
      severityText: "INFO",
      body: "order 7",
      attributes: { user: "ada" },
    });
    const error = new RangeError("card 4111 refused");
    const about = { "exception.type": error.name, "exception.message": error.message };
    log.emit({
      timestamp: time++,
      severityNumber: SeverityNumber.ERROR,
      severityText: "ERROR",
      body: "not paid",
      attributes: about,
    });
    span.recordException(error);
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: "refused" });
    const asked = { kind: api.SpanKind.CLIENT, links: [{ context: span.spanContext(), attributes: { why: "twice" } }] };
    tracer.startActiveSpan("ask bank", asked, (call) => {
      call.addEvent("asked", { times: [1, 2] });
      call.end();
    });
    span.end();
    const { traceId, spanId } = span.spanContext();
    return { trace_id: traceId, span_id: spanId };
  });
  log.emit({ timestamp: time++, severityNumber: SeverityNumber.WARN, severityText: "WARN", body: "outside" });
  logs.getLogger("shop.events").emit({
    timestamp: time++,
    severityNumber: SeverityNumber.DEBUG3,
    body: { card: "visa", tries: 2 },
    eventName: "shop.refused",
  });
  return ids;
}

/** Sends one trace, every kind of metric and some records. */
async function report(protocol, endpoint, temporality) {
  const { AggregationTemporality, AggregationType, PeriodicExportingMetricReader } = sdkMetrics;
  const preferred = { temporalityPreference: AggregationTemporality[temporality.toUpperCase()] };
  const identity = {
    "service.name": `shop-${protocol}`,
    "service.version": "1.2",
    "service.instance.id": "i-1",
    "host.name": "h-1",
  };
  const sdk = new NodeSDK({
    resource: resources.defaultResource().merge(resources.resourceFromAttributes(identity)),
    autoDetectResources: false,
    spanProcessors: [new tracing.BatchSpanProcessor(exporter("trace", protocol, endpoint))],
    metricReaders: [
      new PeriodicExportingMetricReader({
        exporter: exporter("metrics", protocol, endpoint, preferred),
        exportIntervalMillis: 3_600_000,
      }),
    ],
    views: [{ instrumentName: "shop.fine", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
    logRecordProcessors: [new sdkLogs.BatchLogRecordProcessor({ exporter: exporter("logs", protocol, endpoint) })],
  });
  sdk.start();
  const ids = work(api.trace.getTracer("shop.pay", "1.2"), api.metrics.getMeter("shop.pay", "1.2"));
  // What is left is sent, and metrics this one time.
  await sdk.shutdown();
  console.log(JSON.stringify(ids));
}

/** Serves with Node's own `http`, which its instrumentation traces. */
function serve(name, next) {
  const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
  const sdk = new NodeSDK({ serviceName: name, instrumentations: [new HttpInstrumentation()] });
  sdk.start();
  // Only now: the instrumentation wraps what is required after it.
  const http = require("node:http");
  const server = http.createServer((request, response) => {
    if (!next) {
      response.end("ok");
      return;
    }
    http.get(next, (answer) => {
      answer.resume();
      answer.on("end", () => response.writeHead(answer.statusCode).end("ok"));
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.resume();
  process.stdin.on("end", async () => {
    server.close();
    server.closeAllConnections();
    await sdk.shutdown();
  });
}

({ report, serve })[MODE](...REST);
