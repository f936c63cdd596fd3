//! What tells of a node from outside: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps nodes running.
//!
//! Behind a flag, over HTTP, on loopback unless an address is named: it tells no secret, and asks for none. The recorder is
//! installed before the store is opened, because handles go to the recorder that is there when they are made. Nothing here
//! may hold the node up, or take the files that its store needs.

mod door;

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use eraft::{LogIndex, Node};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};

use door::Door;

/// Upper bounds of the buckets of times, in seconds: 50 µs, a fast disk's sync, to 5 s, which no healthy one takes.
const SECONDS: [f64; 16] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The same of the number of saves in a batch, which the store bounds by 1,024.
const SAVES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// How often the recorder sorts what histograms have gathered, so that it stays small when nobody asks.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a node can be asked how it is, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Monitoring {
    /// Serves /metrics, /healthz and /readyz over HTTP at this port, of 127.0.0.1 where no address is named; with three
    /// nodes, at this port and the two after it.
    #[arg(long, value_name = "[ADDR:]PORT")]
    metrics: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place(SocketAddr);

/// The pages of one node, served until this is dropped.
#[derive(Debug)]
pub struct Pages {
    watched: Arc<OnceLock<Watched>>,
    /// Dropping the set aborts them.
    _tasks: JoinSet<()>,
}

/// The node that the pages are about, once it runs.
#[derive(Debug)]
struct Watched {
    node: Node,
    /// What it knew to be committed when it started.
    committed: LogIndex,
}

#[derive(Clone)]
struct Shown {
    prometheus: PrometheusHandle,
    watched: Arc<OnceLock<Watched>>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let port = text.parse::<u16>().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let place = port.or_else(|_| text.parse()).map_err(|_| "expected PORT or IP_ADDRESS:PORT".to_owned())?;
        if place.port() == 0 { Err("expected a port from 1 to 65535".to_owned()) } else { Ok(Place(place)) }
    }
}

impl Monitoring {
    /// That of the node so many places after the first.
    ///
    /// # Errors
    /// There is no such port.
    pub fn of_place(&self, place: u16) -> anyhow::Result<Monitoring> {
        let next = |Place(first): Place| {
            let port = first.port().checked_add(place);
            let port = port.with_context(|| format!("--metrics {first}: there is no port {place} after it"))?;
            anyhow::Ok(Place((first.ip(), port).into()))
        };
        Ok(Monitoring { metrics: self.metrics.map(next).transpose()? })
    }

    /// The flags that say the same to another process.
    pub fn flags(&self) -> Vec<String> {
        self.metrics.map_or_else(Vec::new, |Place(place)| vec!["--metrics".to_owned(), place.to_string()])
    }

    /// Where the metrics are to be seen, if they are.
    pub fn url(&self) -> Option<String> {
        self.metrics.map(|Place(place)| format!("http://{place}/metrics"))
    }

    /// Listens, where that was asked for.
    ///
    /// # Errors
    /// The address is taken, or not ours.
    pub async fn listen(&self) -> anyhow::Result<Option<TcpListener>> {
        let Some(Place(place)) = self.metrics else { return Ok(None) };
        let listener = TcpListener::bind(place).await.with_context(|| {
            format!("cannot listen on {place} for --metrics; stop what uses it, or choose another port")
        })?;
        Ok(Some(listener))
    }

    /// Installs the recorder and serves the pages, where that was asked for; before the store is opened.
    ///
    /// # Errors
    /// The address is taken, or not ours.
    pub async fn start(&self) -> anyhow::Result<Option<Pages>> {
        let Some(listener) = self.listen().await? else { return Ok(None) };
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_batch_saves".to_owned()), &SAVES)?
            .install_recorder()?;
        for metric in eraft::metrics() {
            metric.describe();
        }
        let watched = Arc::new(OnceLock::new());
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .route("/healthz", get(show_health))
            .route("/readyz", get(show_readiness))
            .with_state(Shown { prometheus: prometheus.clone(), watched: Arc::clone(&watched) });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _until_it_is_aborted = axum::serve(Door::new(listener), router).await;
        });
        tasks.spawn(async move {
            let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
            upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                upkeep.tick().await;
                prometheus.run_upkeep();
            }
        });
        Ok(Some(Pages { watched, _tasks: tasks }))
    }
}

impl Pages {
    /// From now on the pages are about `node`, which knew everything up to `committed` to be committed when it started.
    pub fn watch(&self, node: Node, committed: LogIndex) {
        let _the_first = self.watched.set(Watched { node, committed });
    }
}

impl Watched {
    /// An error says why clients should not ask the node now. It is ready when it knows a leader and has applied everything that it
    /// knew to be committed when it started.
    fn readiness(&self) -> anyhow::Result<()> {
        self.health()?;
        let status = self.node.status().raft;
        ensure!(status.leader.is_some(), "the node knows no leader (term {}): is a majority up?", status.term);
        let (applied, committed) = (status.applied, self.committed);
        ensure!(applied >= committed, "{applied} is applied, of {committed} that was committed when the node started");
        Ok(())
    }

    /// An error says why the node does not live.
    fn health(&self) -> anyhow::Result<()> {
        self.node.status().stopped.map_or(Ok(()), |cause| Err(anyhow::anyhow!("the node has ended: {cause}")))
    }
}

async fn show_metrics(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.prometheus.render())
}

async fn show_health(State(shown): State<Shown>) -> impl IntoResponse {
    // A long recovery is no reason to end the process that makes it.
    answer(shown.watched.get().map_or(Ok(()), Watched::health))
}

async fn show_readiness(State(shown): State<Shown>) -> impl IntoResponse {
    let starting = || Err(anyhow::anyhow!("the node is starting"));
    answer(shown.watched.get().map_or_else(starting, Watched::readiness))
}

fn answer(judged: anyhow::Result<()>) -> (StatusCode, String) {
    match judged {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
