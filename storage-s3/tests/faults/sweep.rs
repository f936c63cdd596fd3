//! Every request of a life, meeting every fault that it can meet.
//!
//! A life is lived once to count its requests. Then it is lived again for each request and each fault, on a paused clock.
//! `ERAFT_LONG=1` also draws pairs of faults and of outages. A failure names its point: `again: ERAFT_SEED=1 ERAFT_FAULTS=12.Flip`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    bucket::{Call, Fault},
    judge::{Outcome, judge},
    life::{World, block_on, live},
};

/// No life takes longer by the paused clock, whatever it meets.
const BOUND: Duration = Duration::from_secs(2 * 3600);
/// Pairs that the long run draws.
const PAIRS: usize = 2_000;

/// So many failures are told, and then no more is tried.
const TOLD: usize = 10;

/// Where faults are put.
#[derive(Clone, Debug)]
enum Point {
    At(Vec<(usize, Fault)>),
    /// From this request on, and never again anything else.
    From(usize, Fault),
}

#[test]
fn whichever_request_meets_whichever_fault_nothing_wrong_is_read_and_nothing_is_lost() {
    let calls = requests(seed());
    let mut points = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let befalling = Fault::ALL.into_iter().filter(|fault| fault.befalls(call.operation));
        points.extend(befalling.map(|fault| Point::At(vec![(index, fault)])));
    }
    let table = run(seed(), &points);
    println!("{} requests, {} points\n{table}", calls.len(), points.len());
    assert!(!table.contains("Void"), "a point says nothing that met no fault:\n{table}");
    assert!(calls.len() > 60 && points.len() > 600, "too short a life: {} requests", calls.len());
}

#[test]
fn a_bucket_that_goes_down_and_stays_down_loses_nothing_and_comes_back() {
    let calls = requests(seed());
    let step = if long() { 1 } else { 5 };
    let outages = [500, 403, 404].map(Fault::Status).into_iter().chain([Fault::Hang, Fault::Reset]);
    let indices = (0..calls.len()).step_by(step);
    let points: Vec<_> =
        indices.flat_map(|index| outages.clone().map(move |fault| Point::From(index, fault))).collect();
    println!("{} outages\n{}", points.len(), run(seed(), &points));
}

#[test]
fn two_faults_in_one_life_are_borne_or_told_as_one_is() {
    if !long() {
        println!("SKIPPED two_faults_in_one_life_are_borne_or_told_as_one_is: ERAFT_LONG is not set");
        return;
    }
    let (calls, mut random) = (requests(seed()), fastrand::Rng::with_seed(seed()));
    let mut one = || {
        let index = random.usize(..calls.len());
        let befalling: Vec<_> = Fault::ALL.into_iter().filter(|fault| fault.befalls(calls[index].operation)).collect();
        (index, befalling[random.usize(..befalling.len())])
    };
    let points: Vec<_> = (0..PAIRS).map(|_| Point::At(vec![one(), one()])).collect();
    println!("{} pairs\n{}", points.len(), run(seed(), &points));
}

pub(crate) fn seed() -> u64 {
    std::env::var("ERAFT_SEED").map_or(1, |seed| seed.parse().expect("ERAFT_SEED is a number"))
}

pub(crate) fn long() -> bool {
    std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1")
}

/// The requests of a life without a fault.
pub(crate) fn requests(seed: u64) -> Vec<Call> {
    block_on(async {
        let world = World::new(seed);
        let life = live(&world).await;
        for step in &life.steps {
            step.outcome.as_ref().unwrap();
        }
        let calls = world.bucket.faults().calls();
        assert_eq!(judge(&world, &life).await, Ok(Outcome::Borne));
        calls
    })
}

/// Lives every life, and says what came of them.
///
/// # Panics
/// With all that was promised and does not hold.
fn run(seed: u64, points: &[Point]) -> String {
    let only = std::env::var("ERAFT_FAULTS").ok();
    let mut came: BTreeMap<(String, Outcome), usize> = BTreeMap::new();
    let (mut failures, mut longest) = (Vec::new(), Duration::ZERO);
    for point in points.iter().filter(|point| only.as_ref().is_none_or(|only| *only == point.to_string())) {
        match catch_unwind(AssertUnwindSafe(|| block_on(one(seed, point)))).unwrap_or_else(|panic| Err(text(&*panic))) {
            Ok((outcome, took)) => {
                *came.entry((point.kind(), outcome)).or_default() += 1;
                longest = longest.max(took);
            }
            Err(why) => failures.push(format!("{why}\n  again: ERAFT_SEED={seed} ERAFT_FAULTS={point}\n")),
        }
        if failures.len() == TOLD {
            break;
        }
    }
    assert!(failures.is_empty(), "at {} of {} points, or more:\n{}", failures.len(), points.len(), failures.concat());
    let mut table = format!("the longest took {longest:?} by its own clock\n");
    for ((kind, outcome), count) in came {
        writeln!(table, "{kind:32} {outcome:?} {count}").unwrap();
    }
    table
}

async fn one(seed: u64, point: &Point) -> Result<(Outcome, Duration), String> {
    let (world, begun) = (World::new(seed), Instant::now());
    match point {
        Point::At(faults) => faults.iter().for_each(|(index, fault)| world.bucket.faults().at(*index, *fault)),
        Point::From(index, fault) => world.bucket.faults().from(*index, *fault),
    }
    let life = timeout(BOUND, live(&world)).await.map_err(|_| format!("it still goes on after {BOUND:?}"))?;
    let took = begun.elapsed();
    let met = world.bucket.faults().calls().iter().filter(|call| call.fault.is_some()).count();
    let outcome = timeout(BOUND, judge(&world, &life)).await.map_err(|_| "the end hangs".to_owned())??;
    let planned = if let Point::At(faults) = point { faults.len() } else { 1 };
    Ok((if met < planned { Outcome::Void } else { outcome }, took))
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without a message"))
}

impl Point {
    /// What it is called in the table.
    fn kind(&self) -> String {
        match self {
            Point::At(faults) if faults.len() == 1 => format!("{:?}", faults[0].1),
            Point::At(_) => "two faults".to_owned(),
            Point::From(_, fault) => format!("{fault:?} from then on"),
        }
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Point::At(faults) => {
                let faults: Vec<_> = faults.iter().map(|(index, fault)| format!("{index}.{fault:?}")).collect();
                write!(f, "{}", faults.join("+"))
            }
            Point::From(index, fault) => write!(f, "{index}..{fault:?}"),
        }
    }
}
