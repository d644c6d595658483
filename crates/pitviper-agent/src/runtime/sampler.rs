//! Reads the process and its limits when metrics are collected. Lives in the exporter thread.

use std::path::Path;
use std::time::Instant;

use pitviper_model::Number;
use pitviper_wire::encode::{AttributeList, Scalar};

use super::cgroup::Cgroup;
use super::outcomes::OutcomeMetrics;
use super::{process, scope};
use crate::agent::Agent;
use crate::host::Usage;
use crate::metrics::{Aggregation, InstrumentId, InstrumentKind, InstrumentOptions, Registry};
use crate::span::now_unix_nano;

use InstrumentKind::{ObservableCounter, ObservableGauge, ObservableUpDownCounter};

struct Instruments {
    cpu_time: InstrumentId,
    cpu_utilization: InstrumentId,
    memory_usage: InstrumentId,
    memory_virtual: InstrumentId,
    memory_utilization: InstrumentId,
    container_memory_usage: InstrumentId,
    container_memory_available: InstrumentId,
    container_memory_limit: InstrumentId,
    cpu_limit: InstrumentId,
    throttled: InstrumentId,
    threads: InstrumentId,
    open_files: InstrumentId,
    context_switches: InstrumentId,
    page_faults: InstrumentId,
    uptime: InstrumentId,
    gc_collections: InstrumentId,
    gc_collected: InstrumentId,
    gc_uncollectable: InstrumentId,
}

impl Instruments {
    fn new(registry: &Registry) -> Self {
        let scope = scope();
        let make = |kind: InstrumentKind, name: &str, unit: &str, description: &str| {
            let aggregation = if kind == ObservableGauge { Aggregation::LastValue } else { Aggregation::Sum };
            registry.instrument(&InstrumentOptions {
                scope: &scope,
                name,
                unit,
                description,
                kind,
                aggregation,
                attribute_keys: None,
            })
        };
        Self {
            cpu_time: make(ObservableCounter, "process.cpu.time", "s", "CPU time the process has used"),
            cpu_utilization: make(
                ObservableGauge,
                "process.cpu.utilization",
                "1",
                "CPU time used since the last measurement, of what the process's limit allows",
            ),
            memory_usage: make(ObservableUpDownCounter, "process.memory.usage", "By", "Physical memory in use"),
            memory_virtual: make(ObservableUpDownCounter, "process.memory.virtual", "By", "Address space in use"),
            memory_utilization: make(
                ObservableGauge,
                "process.memory.utilization",
                "1",
                "Physical memory in use, of the container's limit or else of the machine's memory",
            ),
            container_memory_usage: make(
                ObservableUpDownCounter,
                "container.memory.usage",
                "By",
                "Memory that the control group with the limit uses",
            ),
            container_memory_available: make(
                ObservableUpDownCounter,
                "container.memory.available",
                "By",
                "Memory left until the control group's limit",
            ),
            container_memory_limit: make(
                ObservableGauge,
                "pitviper.container.memory.limit",
                "By",
                "Memory limit of the control group",
            ),
            cpu_limit: make(ObservableGauge, "pitviper.container.cpu.limit", "{cpu}", "CPU limit of the control group"),
            throttled: make(
                ObservableCounter,
                "pitviper.container.cpu.throttled.time",
                "s",
                "Time the control group was kept from running by its CPU limit",
            ),
            threads: make(ObservableUpDownCounter, "process.thread.count", "{thread}", "Threads of the process"),
            open_files: make(
                ObservableUpDownCounter,
                "process.unix.file_descriptor.count",
                "{file_descriptor}",
                "Open file descriptors",
            ),
            context_switches: make(
                ObservableCounter,
                "process.context_switches",
                "{context_switch}",
                "Context switches of all threads",
            ),
            page_faults: make(ObservableCounter, "process.paging.faults", "{fault}", "Page faults of the process"),
            uptime: make(ObservableGauge, "process.uptime", "s", "Time since the process began"),
            gc_collections: make(
                ObservableCounter,
                "cpython.gc.collections",
                "{collection}",
                "How often a generation was collected",
            ),
            gc_collected: make(
                ObservableCounter,
                "cpython.gc.collected_objects",
                "{object}",
                "Objects that garbage collection freed",
            ),
            gc_uncollectable: make(
                ObservableCounter,
                "cpython.gc.uncollectable_objects",
                "{object}",
                "Objects that garbage collection could not free",
            ),
        }
    }
}

/// Reads what cannot be told. What it compares with is of this process, so a forked child has its own.
pub(crate) struct Sampler {
    instruments: Instruments,
    outcomes: OutcomeMetrics,
    cgroup: Cgroup,
    /// Processors the process may run on.
    allowed_cpus: f64,
    machine_memory: Option<u64>,
    /// When the process began, in nanoseconds since the Unix epoch.
    began_unix_nano: u64,
    last: (Instant, Usage),
}

impl Sampler {
    pub(crate) fn new(agent: &Agent) -> Self {
        let proc = Path::new("/proc/self");
        let instruments = Instruments::new(&agent.registry);
        let outcomes = OutcomeMetrics::new(&agent.registry);
        let began_unix_nano = process_start(agent).unwrap_or_else(now_unix_nano);
        for counter in [
            instruments.cpu_time,
            instruments.throttled,
            instruments.context_switches,
            instruments.page_faults,
            instruments.gc_collections,
            instruments.gc_collected,
            instruments.gc_uncollectable,
            instruments.memory_usage,
            instruments.memory_virtual,
            instruments.threads,
            instruments.open_files,
        ]
        .into_iter()
        .chain(outcomes.counters())
        {
            agent.registry.set_start(counter, began_unix_nano);
        }
        Self {
            instruments,
            outcomes,
            cgroup: Cgroup::locate(Path::new("/")),
            allowed_cpus: f64::from(process::allowed_cpus(proc).unwrap_or(1)),
            machine_memory: process::machine_memory(Path::new("/proc")),
            began_unix_nano,
            last: (Instant::now(), (agent.host.usage)().unwrap_or_default()),
        }
    }

    /// Observes everything once.
    pub(crate) fn observe(&mut self, agent: &Agent) {
        let registry = &agent.registry;
        let own = &self.instruments;
        let cpu_limit = self.cgroup.cpus();
        let double = |id, value| registry.observe(id, vec![(Number::Double(value), AttributeList::default())]);
        let bytes = |id, value: u64| registry.observe(id, vec![(Number::Int(value as i64), AttributeList::default())]);
        if let Some(limit) = cpu_limit {
            double(own.cpu_limit, limit);
            if let Some(throttled) = self.cgroup.throttled_ns() {
                double(own.throttled, throttled as f64 / 1e9);
            }
        }
        if let Some(usage) = (agent.host.usage)() {
            let cpus = cpu_limit.map_or(self.allowed_cpus, |limit| limit.min(self.allowed_cpus));
            self.observe_usage(registry, usage, cpus);
        }
        let own = &self.instruments;
        let memory_limit = self.cgroup.memory();
        if let Some(limit) = memory_limit {
            bytes(own.container_memory_limit, limit.limit_bytes);
            if let Some(used) = limit.used_bytes {
                bytes(own.container_memory_usage, used);
                bytes(own.container_memory_available, limit.limit_bytes.saturating_sub(used));
            }
        }
        if let Some(reading) = process::read(Path::new("/proc/self"), agent.host.page_size) {
            bytes(own.memory_usage, reading.resident_bytes);
            bytes(own.memory_virtual, reading.virtual_bytes);
            bytes(own.threads, reading.threads);
            let limits = [memory_limit.map(|limit| limit.limit_bytes), self.machine_memory];
            if let Some(all) = limits.into_iter().flatten().min() {
                double(own.memory_utilization, reading.resident_bytes as f64 / all as f64);
            }
        }
        if let Some(files) = process::open_files(Path::new("/proc/self")) {
            bytes(own.open_files, files);
        }
        double(own.uptime, now_unix_nano().saturating_sub(self.began_unix_nano) as f64 / 1e9);
        let generations = agent.runtime.generations();
        let by_generation = |id, figure: fn(&super::GenerationStats) -> u64| {
            let numbered = generations.iter().enumerate();
            let points = numbered.map(|(number, generation)| {
                let mut attributes = AttributeList::default();
                attributes.set("cpython.gc.generation", Scalar::Int(number as i64), 1);
                (Number::Int(figure(generation) as i64), attributes)
            });
            registry.observe(id, points.collect());
        };
        by_generation(own.gc_collections, |generation| generation.collections);
        by_generation(own.gc_collected, |generation| generation.collected);
        by_generation(own.gc_uncollectable, |generation| generation.uncollectable);
        self.outcomes.observe(agent);
    }

    fn observe_usage(&mut self, registry: &Registry, usage: Usage, cpus: f64) {
        let own = &self.instruments;
        let pair = |key: &str, one: (&str, Number), other: (&str, Number)| {
            let point = |(name, number): (&str, Number)| {
                let mut attributes = AttributeList::default();
                attributes.set(key, Scalar::Str(name), 1);
                (number, attributes)
            };
            vec![point(one), point(other)]
        };
        let seconds = |nanos: u64| Number::Double(nanos as f64 / 1e9);
        let times = pair("cpu.mode", ("user", seconds(usage.user_ns)), ("system", seconds(usage.system_ns)));
        registry.observe(own.cpu_time, times);
        let (since, before) = self.last;
        let available = since.elapsed().as_nanos() as f64 * cpus;
        if available > 0.0 {
            let share = |now: u64, then: u64| Number::Double(now.saturating_sub(then) as f64 / available);
            let user = ("user", share(usage.user_ns, before.user_ns));
            let system = ("system", share(usage.system_ns, before.system_ns));
            registry.observe(own.cpu_utilization, pair("cpu.mode", user, system));
        }
        let count = |number: u64| Number::Int(number as i64);
        let switches = pair(
            "process.context_switch.type",
            ("voluntary", count(usage.voluntary_switches)),
            ("involuntary", count(usage.involuntary_switches)),
        );
        registry.observe(own.context_switches, switches);
        let faults = pair(
            "system.paging.fault.type",
            ("minor", count(usage.minor_faults)),
            ("major", count(usage.major_faults)),
        );
        registry.observe(own.page_faults, faults);
        self.last = (Instant::now(), usage);
    }
}

/// When the process began, in nanoseconds since the Unix epoch.
fn process_start(agent: &Agent) -> Option<u64> {
    let ticks = process::read(Path::new("/proc/self"), agent.host.page_size)?.start_ticks;
    let since_boot = ticks as f64 / agent.host.clock_ticks.max(1) as f64;
    // Where a container has an uptime of its own, the two do not fit together.
    let age = process::machine_uptime(Path::new("/proc"))? - since_boot;
    (age >= 0.0).then(|| now_unix_nano().saturating_sub((age * 1e9) as u64))
}
