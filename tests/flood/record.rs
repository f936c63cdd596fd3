//! When answers came: how many, how steadily, how late.

use std::{fmt, time::Duration};

const SLOT: Duration = Duration::from_millis(100);

/// Writes of one connection that were answered together.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// When the last of them was answered, since the beginning.
    pub at: Duration,
    /// From when they were first sent.
    pub took: Duration,
    pub writes: u64,
}

/// What was answered between two moments.
#[derive(Clone, Debug)]
pub struct Record {
    from: Duration,
    upto: Duration,
    batches: Vec<Batch>,
}

impl Record {
    pub(super) fn new(from: Duration, upto: Duration, mut batches: Vec<Batch>) -> Record {
        batches.sort_unstable_by_key(|batch| batch.at);
        Record { from, upto, batches }
    }

    /// How many.
    pub fn writes(&self) -> u64 {
        self.batches.iter().map(|batch| batch.writes).sum()
    }

    /// How many a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people, of a few digits")]
        let writes = self.writes() as f64;
        writes / (self.upto - self.from).as_secs_f64()
    }

    /// The longest time without an answer.
    pub fn longest_gap(&self) -> Duration {
        let moments: Vec<Duration> = self.batches.iter().map(|batch| batch.at).chain([self.upto]).collect();
        let befores = std::iter::once(&self.from).chain(&moments);
        moments.iter().zip(befores).map(|(at, before)| at.saturating_sub(*before)).max().unwrap_or_default()
    }

    /// The latency that so many thousandths of the writes stay below.
    pub fn latency(&self, thousandths: usize) -> Duration {
        let mut all: Vec<Duration> = self.batches.iter().map(|batch| batch.took).collect();
        all.sort_unstable();
        all.get((all.len() * thousandths / 1000).min(all.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// Thousands of writes answered in each tenth of a second.
    pub fn slots(&self) -> String {
        let count = (self.upto - self.from).as_millis() / SLOT.as_millis() + 1;
        let mut slots = vec![0; usize::try_from(count).unwrap()];
        for batch in &self.batches {
            let slot = (batch.at - self.from).as_millis() / SLOT.as_millis();
            slots[usize::try_from(slot).unwrap()] += batch.writes;
        }
        let slots: Vec<String> = slots.iter().map(|slot| format!("{}.{}", slot / 1000, slot % 1000 / 100)).collect();
        slots.join(" ")
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes in {:.1?} ({:.0}/s); longest gap {:.1?}; a pipeline's latency: median {:.1?}, p99 {:.1?}, p99.9 \
             {:.1?}, longest {:.1?}",
            self.writes(),
            self.upto - self.from,
            self.rate(),
            self.longest_gap(),
            self.latency(500),
            self.latency(990),
            self.latency(999),
            self.latency(1000)
        )
    }
}
