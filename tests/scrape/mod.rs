//! A scraper of its own: one HTTP request over a plain socket, and the text format of Prometheus, read line by line.

#![allow(dead_code, reason = "each test uses the part it needs")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// One answer.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub body: String,
}

/// Asks `address` for `path`.
pub fn get(address: &str, path: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Page { status: status.ok_or(io::ErrorKind::InvalidData)?, body: body.to_owned() })
}

/// The values of one scrape, by name and labels as they were written, and the kinds of their families.
#[derive(Debug)]
pub struct Samples {
    values: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Samples {
    /// Reads a page of metrics; fails on a family without help.
    pub fn read(page: &Page) -> Samples {
        assert_eq!(page.status, 200, "{}", page.body);
        let (mut values, mut kinds, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for line in page.body.lines().filter(|line| !line.is_empty()) {
            if let Some((name, _help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                helped.insert(name.to_owned());
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(helped.contains(name), "{name} has no help");
                kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(values.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} is there twice");
            }
        }
        Samples { values, kinds }
    }

    /// The families.
    pub fn families(&self) -> impl Iterator<Item = &String> {
        self.kinds.keys()
    }

    /// The sum of all values of this name whose labels contain `label`.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let wanted = |sample: &str| sample.split('{').next() == Some(name) && sample.contains(label);
        self.values.iter().filter(|(sample, _)| wanted(sample)).map(|(_, value)| value).sum()
    }

    /// Whether every value bears this label.
    pub fn all_labelled(&self, label: &str) -> bool {
        self.values.keys().all(|sample| sample.contains(label))
    }

    /// What should only rise, and has fallen or gone since `before`: counters, and all of histograms.
    pub fn fallen_since(&self, before: &Samples) -> Vec<String> {
        let rises = |sample: &str| {
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            [name, family].iter().any(|name| before.kinds.get(*name).is_some_and(|kind| kind != "gauge"))
        };
        let fallen = |(sample, value): &(&String, &f64)| {
            rises(sample) && self.values.get(*sample).is_none_or(|now| now < *value)
        };
        before.values.iter().filter(fallen).map(|(sample, _)| sample.clone()).collect()
    }
}
