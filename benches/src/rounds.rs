//! Contenders take turns; what they did is printed round by round, and compared by the medians.

use std::time::Duration;

/// In which Linux tells processor times, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Somebody who does the same work as the others.
pub(crate) trait Contender {
    /// How it is called in the table.
    fn name(&self) -> String;

    /// Does one round's work, and tells how long it took. What has to be prepared for it is not counted.
    ///
    /// # Errors
    /// The work could not be done: there is nothing to compare then.
    fn round(&mut self) -> anyhow::Result<Duration>;
}

/// Everybody's rounds.
#[derive(Debug)]
pub(crate) struct Outcome {
    names: Vec<String>,
    /// Work per second, contender by contender.
    rates: Vec<Vec<f64>>,
    /// Processor time of a unit of work, contender by contender: what a busy machine changes least.
    cpu_micros: Vec<f64>,
}

/// Lets the contenders take turns, after one round each that does not count; `work` is what one round does, in any unit.
///
/// # Errors
/// As the first contender's that fails.
pub(crate) fn play(contenders: &mut [Box<dyn Contender + '_>], rounds: usize, work: f64) -> anyhow::Result<Outcome> {
    let mut rates = vec![Vec::new(); contenders.len()];
    for contender in contenders.iter_mut() {
        contender.round()?;
    }
    let mut cpu = vec![0.0; contenders.len()];
    for round in 0..rounds {
        // Nobody always runs after the same neighbour's dirty pages: every other round goes backwards.
        let mut turns: Vec<_> = contenders.iter_mut().zip(rates.iter_mut().zip(&mut cpu)).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (contender, (rates, cpu)) in turns {
            let before = cpu_seconds();
            rates.push(work / contender.round()?.as_secs_f64());
            *cpu += cpu_seconds() - before;
        }
    }
    let cpu_micros = cpu.into_iter().map(|seconds| seconds * 1e6 / (work * rounds as f64)).collect();
    Ok(Outcome { names: contenders.iter().map(|contender| contender.name()).collect(), rates, cpu_micros })
}

impl Outcome {
    /// The median of the contender at this place.
    pub(crate) fn median(&self, place: usize) -> f64 {
        median(self.rates.get(place).cloned().unwrap_or_default())
    }

    /// The ratio of two contenders' medians, and the median of their ratios round by round: where they are far apart, the
    /// machine was busier with one than with the other.
    pub(crate) fn ratios(&self, place: usize, over: usize) -> (f64, f64) {
        let rounds = self.rates.get(place).into_iter().flatten().zip(self.rates.get(over).into_iter().flatten());
        (self.median(place) / self.median(over), median(rounds.map(|(rate, other)| rate / other).collect()))
    }

    /// Every round, and the medians.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}");
        for (place, (name, rates)) in self.names.iter().zip(&self.rates).enumerate() {
            let rounds: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
            let cpu = self.cpu_micros.get(place).copied().unwrap_or(f64::NAN);
            println!(
                "  {name:<34} median {:>9.0}, {cpu:>7.1} us of cpu each   {}",
                self.median(place),
                rounds.join(" ")
            );
        }
    }
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What all threads of this process, those that have ended too, took of the processors so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// How the processors were fought for, as the kernel tells it: the shares of the last 10, 60 and 300 seconds.
pub(crate) fn print_pressure() {
    match std::fs::read_to_string("/proc/pressure/cpu") {
        Ok(pressure) => println!("cpu pressure: {}", pressure.lines().next().unwrap_or_default()),
        Err(why) => println!("cpu pressure: not told here ({why})"),
    }
}
