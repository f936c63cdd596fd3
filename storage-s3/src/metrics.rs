//! What a store tells of its bucket: how much travels, what fails, and what came back wrong.

use eraft_core::{GroupId, NodeId};
use eraft_metrics_kit::{Counter, Gauge, Labels, Metric, Unit};

const UPLOADS: Metric =
    Metric::counter("eraft_s3_uploads_total", Unit::Count, "Snapshots that were uploaded, verified and staged.");
const UPLOADED_BYTES: Metric = Metric::counter(
    "eraft_s3_uploaded_bytes_total",
    Unit::Bytes,
    "Bytes of snapshots that the bucket took, compressed.",
);
const READ_BYTES: Metric = Metric::counter(
    "eraft_s3_read_bytes_total",
    Unit::Bytes,
    "Bytes of snapshots that came from the bucket, compressed; what was read back of uploads among them.",
);
const RETRIES: Metric =
    Metric::counter("eraft_s3_retries_total", Unit::Count, "Calls to the bucket that failed and were tried again.");
const FAILURES: Metric =
    Metric::counter("eraft_s3_failures_total", Unit::Count, "Calls to the bucket that failed and were given up.");
const WRONG_CHUNKS: Metric = Metric::counter(
    "eraft_s3_wrong_chunks_total",
    Unit::Count,
    "Chunks that came back from the bucket with other bytes than were stored.",
);
const REFUSED_UPLOADS: Metric = Metric::counter(
    "eraft_s3_refused_uploads_total",
    Unit::Count,
    "Uploads that the bucket took and that could not be verified.",
);
const LEFT_BEHIND: Metric = Metric::counter(
    "eraft_s3_left_behind_total",
    Unit::Count,
    "Objects and open uploads that nothing needs and that could not be removed from the bucket.",
);

const COLLECTED: Metric =
    Metric::counter("eraft_s3_collected_total", Unit::Count, "Objects that nobody needed and that were removed.");
const COLLECTED_BYTES: Metric = Metric::counter(
    "eraft_s3_collected_bytes_total",
    Unit::Bytes,
    "Bytes of objects that nobody needed and that were removed.",
);
const OWNER_EPOCH: Metric = Metric::gauge(
    "eraft_s3_owner_epoch",
    Unit::Count,
    "Under which epoch this store writes into its folder; 0 before its first write.",
);
const FENCED: Metric =
    Metric::gauge("eraft_s3_fenced", Unit::Count, "1 once another process of the same node took the folder, else 0.");

const KEPT_HERE: Metric = Metric::counter(
    "eraft_s3_kept_here_total",
    Unit::Count,
    "Snapshots that were staged in the local store for want of the bucket.",
);
const BUCKET_AWAY: Metric = Metric::gauge(
    "eraft_s3_bucket_away",
    Unit::Count,
    "1 from a snapshot that could not be put into the bucket until one was, or was refused for good, else 0.",
);

/// Every metric of this backend; those of the local store are its own.
pub fn metrics() -> Vec<Metric> {
    vec![
        UPLOADS,
        UPLOADED_BYTES,
        READ_BYTES,
        RETRIES,
        FAILURES,
        WRONG_CHUNKS,
        REFUSED_UPLOADS,
        LEFT_BEHIND,
        COLLECTED,
        COLLECTED_BYTES,
        OWNER_EPOCH,
        FENCED,
        KEPT_HERE,
        BUCKET_AWAY,
    ]
}

/// The handles of one group.
#[derive(Debug)]
pub(crate) struct Told {
    uploads: Counter,
    uploaded_bytes: Counter,
    read_bytes: Counter,
    retries: Counter,
    failures: Counter,
    wrong_chunks: Counter,
    refused_uploads: Counter,
    left_behind: Counter,
    collected: Counter,
    collected_bytes: Counter,
    owner_epoch: Gauge,
    fenced: Gauge,
    kept_here: Counter,
    bucket_away: Gauge,
}

impl Told {
    pub(crate) fn new(node: NodeId, group: GroupId) -> Told {
        let labels = Labels::of_node(node).with("group", group);
        let told = Told::each(|metric| metric.counter_of(&labels), |metric| metric.gauge_of(&labels));
        told.owner_epoch.set(0.0);
        told.fenced.set(0.0);
        told.bucket_away.set(0.0);
        told
    }

    /// Where no node is at work, nothing is counted.
    pub(crate) fn of_nobody() -> Told {
        Told::each(|_| Counter::noop(), |_| Gauge::noop())
    }

    fn each(counter: impl Fn(&Metric) -> Counter, gauge: impl Fn(&Metric) -> Gauge) -> Told {
        Told {
            uploads: counter(&UPLOADS),
            uploaded_bytes: counter(&UPLOADED_BYTES),
            read_bytes: counter(&READ_BYTES),
            retries: counter(&RETRIES),
            failures: counter(&FAILURES),
            wrong_chunks: counter(&WRONG_CHUNKS),
            refused_uploads: counter(&REFUSED_UPLOADS),
            left_behind: counter(&LEFT_BEHIND),
            collected: counter(&COLLECTED),
            collected_bytes: counter(&COLLECTED_BYTES),
            owner_epoch: gauge(&OWNER_EPOCH),
            fenced: gauge(&FENCED),
            kept_here: counter(&KEPT_HERE),
            bucket_away: gauge(&BUCKET_AWAY),
        }
    }

    pub(crate) fn staged(&self) {
        self.uploads.increment(1);
    }

    pub(crate) fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.increment(bytes);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.read_bytes.increment(bytes);
    }

    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }

    pub(crate) fn failed(&self) {
        self.failures.increment(1);
    }

    pub(crate) fn wrong_chunk(&self) {
        self.wrong_chunks.increment(1);
    }

    pub(crate) fn refused_upload(&self) {
        self.refused_uploads.increment(1);
    }

    pub(crate) fn left_behind(&self, count: u64) {
        self.left_behind.increment(count);
    }

    pub(crate) fn collected(&self, objects: u64, bytes: u64) {
        self.collected.increment(objects);
        self.collected_bytes.increment(bytes);
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody opens a store 2^53 times")]
    pub(crate) fn owns(&self, epoch: u64) {
        self.owner_epoch.set(epoch as f64);
    }

    pub(crate) fn fenced(&self) {
        self.fenced.set(1.0);
    }

    pub(crate) fn kept_here(&self) {
        self.kept_here.increment(1);
    }

    pub(crate) fn bucket_away(&self, is_away: bool) {
        self.bucket_away.set(f64::from(u8::from(is_away)));
    }
}
