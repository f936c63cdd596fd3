//! Three hosts on this machine, each with an address of its own: network namespaces, and what is cut between them.
//!
//! A fourth one, the hub, routes between them, and is where the clients are; so one set of rules in the hub decides which
//! host hears which, packet by packet, and what goes between clients and nodes is never cut. None of it touches the
//! machine's own network. The names bear the test's process id: what a killed run left is taken away by the next.

use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use eraft_conformance::machine::skip;

/// The probe that these stand for, in `cargo xtask test`.
const PROBE: &str = "netns";
const PREFIX: &str = "eraft-test-";
const NAMED: &str = "/var/run/netns";
/// Where clients connect.
const CLIENT_PORT: u16 = 7001;

/// Three hosts and the hub between them.
#[derive(Debug)]
pub struct Hosts {
    name: String,
}

impl Hosts {
    /// Makes them, or prints the reason why `test` is skipped.
    pub fn make(test: &str) -> Option<Hosts> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        take_away_leftovers();
        let hosts = Hosts { name: format!("{PREFIX}{}-{}", std::process::id(), MADE.fetch_add(1, SeqCst)) };
        if let Err(why) = hosts.build() {
            skip(test, PROBE, &format!("no hosts can be made: {why}; run as root, apt-get install iproute2 nftables"));
            return None;
        }
        Some(hosts)
    }

    /// Where the three nodes serve clients.
    pub fn clients(&self) -> [String; 3] {
        [0, 1, 2].map(|place| format!("{}:{CLIENT_PORT}", address(place)))
    }

    /// What starts a program on the host at `place`.
    pub fn starter(&self, place: usize) -> Vec<String> {
        ["ip", "netns", "exec"].map(str::to_owned).into_iter().chain([self.host(place)]).collect()
    }

    /// Runs `work` where the clients are. Its threads are there, too.
    pub fn among_clients<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let hub = File::open(Path::new(NAMED).join(self.hub())).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(hub.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// From now on nothing goes from the first to the second host of each of these; everything else does.
    pub fn cut(&self, cuts: &[(usize, usize)]) {
        let rule = |(from, to): &(usize, usize)| {
            format!("ip saddr {} ip daddr {} counter drop\n", address(*from), address(*to))
        };
        let rules: String = cuts.iter().map(rule).collect();
        let chain = format!("chain forward {{ type filter hook forward priority 0;\n{rules}}}");
        let script = format!("table inet cut\ndelete table inet cut\ntable inet cut {{\n{chain}\n}}\n");
        let mut nft = ip(&["netns", "exec", &self.hub(), "nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft takes no\n{script}");
    }

    /// Nothing is cut any more; returns how many packets were lost to the cuts.
    pub fn heal(&self) -> u64 {
        let listed = ip(&["netns", "exec", &self.hub(), "nft", "list", "table", "inet", "cut"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        self.cut(&[]);
        let counted = |line: &str| line.split_once("packets ")?.1.split_whitespace().next()?.parse::<u64>().ok();
        listed.lines().filter_map(counted).sum()
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn host(&self, place: usize) -> String {
        format!("{}-{}", self.name, place + 1)
    }

    fn build(&self) -> Result<(), String> {
        let hub = &self.hub();
        done(&mut ip(&["netns", "add", hub]))?;
        done(&mut ip(&["netns", "exec", hub, "nft", "list", "tables"]))?;
        done(&mut ip(&["netns", "exec", hub, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
        for place in 0..3 {
            let (host, link) = (&self.host(place), &format!("host{}", place + 1));
            let (here, router) = (format!("{}/24", address(place)), Ipv4Addr::from(address(place).to_bits() - 1));
            done(&mut ip(&["netns", "add", host]))?;
            done(&mut ip(&["-n", hub, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host]))?;
            done(&mut ip(&["-n", hub, "addr", "add", &format!("{router}/24"), "dev", link]))?;
            done(&mut ip(&["-n", hub, "link", "set", link, "up"]))?;
            done(&mut ip(&["-n", host, "addr", "add", &here, "dev", "eth0"]))?;
            done(&mut ip(&["-n", host, "link", "set", "eth0", "up"]))?;
            done(&mut ip(&["-n", host, "link", "set", "lo", "up"]))?;
            done(&mut ip(&["-n", host, "route", "add", "default", "via", &router.to_string()]))?;
        }
        self.cut(&[]);
        Ok(())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        (0..3).map(|place| self.host(place)).chain([self.hub()]).for_each(|name| take_away(&name));
    }
}

/// In the range that is set aside for tests of networks (RFC 2544): it means no host anywhere else.
fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, u8::try_from(place).unwrap() + 1, 2)
}

/// What runs of processes that are gone have left behind.
fn take_away_leftovers() {
    let Ok(entries) = std::fs::read_dir(NAMED) else { return };
    for name in entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            take_away(&name);
        }
    }
}

/// Ends whatever still runs in this namespace, and removes it, and with it its addresses, links and rules.
fn take_away(name: &str) {
    let Ok(Output { stdout, .. }) = ip(&["netns", "pids", name]).stderr(Stdio::null()).output() else { return };
    for pid in String::from_utf8_lossy(&stdout).lines().filter_map(|line| line.trim().parse().ok()) {
        let _ended = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
    }
    let _removed = ip(&["netns", "del", name]).stderr(Stdio::null()).status();
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|why| format!("ip: {why}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", why.trim())) }
}

/// The programs are often not on a user's path.
fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}
