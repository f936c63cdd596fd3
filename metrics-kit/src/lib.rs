//! What the crates that tell metrics share: a [`Metric`] is one entry of a crate's table, and handles are made of entries
//! alone, so that nothing is told under a name that no table has.
//!
//! Handles go to the recorder that is installed when they are made, through the facade `metrics`; without one they do
//! nothing. They are made once per node, engine or peer, never where work is done. It must never keep a number itself, or
//! make a label out of what a peer or a client has sent.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

pub use metrics::{Counter, Gauge, Histogram, Unit};
use metrics::{Label, describe_counter, describe_gauge, describe_histogram};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until its process ends.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often which values were seen.
    Histogram,
}

/// One entry of a crate's table of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name; the unit and `_total` are in it, as Prometheus wants them.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What is counted.
    pub unit: Unit,
    /// What it tells, in a sentence.
    pub help: &'static str,
}

/// What tells the values of one metric apart. Every value comes from a set that is bounded: members, reasons, roles.
#[derive(Clone, Debug)]
pub struct Labels(Vec<Label>);

/// A counter that is told how far something else has counted, such as the core.
#[derive(Debug)]
pub struct Rising {
    counter: Counter,
    told: u64,
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Metric {
    /// A counter.
    pub const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric {
        Metric { name, kind: Kind::Counter, unit, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
        Metric { name, kind: Kind::Gauge, unit, help }
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Metric {
        Metric { name, kind: Kind::Histogram, unit, help }
    }

    /// Tells the recorder what it means.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => describe_counter!(self.name, self.unit, self.help),
            Kind::Gauge => describe_gauge!(self.name, self.unit, self.help),
            Kind::Histogram => describe_histogram!(self.name, self.unit, self.help),
        }
    }

    /// The handle of a [`Kind::Counter`]; it is there from now on, at 0.
    pub fn counter_of(&self, labels: &Labels) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let counter = metrics::counter!(self.name, labels.0.clone());
        counter.increment(0);
        counter
    }

    /// The handle of a [`Kind::Gauge`].
    pub fn gauge_of(&self, labels: &Labels) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        metrics::gauge!(self.name, labels.0.clone())
    }

    /// The handle of a [`Kind::Histogram`].
    pub fn histogram_of(&self, labels: &Labels) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::histogram!(self.name, labels.0.clone())
    }
}

impl Labels {
    /// Several nodes may share a process, so whatever one tells bears its id.
    pub fn of_node(node: impl Display) -> Labels {
        Labels(vec![Label::new("node", node.to_string())])
    }

    /// These and one more.
    pub fn with(&self, name: &'static str, value: impl Display) -> Labels {
        let mut labels = self.0.clone();
        labels.push(Label::new(name, value.to_string()));
        Labels(labels)
    }
}

impl Rising {
    /// Nothing has been counted yet.
    pub fn new(counter: Counter) -> Rising {
        Rising { counter, told: 0 }
    }

    /// So many have been counted by now.
    pub fn rise_to(&mut self, count: u64) {
        self.counter.increment(count.saturating_sub(self.told));
        self.told = self.told.max(count);
    }
}

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "what is measured goes to a recorder, and decides nothing")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since then.
    #[expect(clippy::disallowed_methods, reason = "what is measured goes to a recorder, and decides nothing")]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
