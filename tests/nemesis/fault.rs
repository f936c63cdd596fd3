//! The faults, each from its beginning to its end.

use std::{thread, time::Duration};

use super::Campaign;
use crate::{
    load::{Hand, Running},
    processes::wait_until,
};

/// Longer than any follower waits before it campaigns.
const PAUSE: Duration = Duration::from_secs(3);
/// How long each node is alone while a partition moves.
const MOVE: Duration = Duration::from_millis(1500);
/// Reads that a paused node finds when it goes on.
const READS_WAITING: usize = 16;
/// The farthest that a clock jumps, in seconds. For so long may a node stand still that comes back from a time ahead.
const FARTHEST: i64 = 15;

/// What can happen to a cluster of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The leader and the others do not hear each other; clients reach all.
    LeaderCutOff,
    /// The same with any node.
    AnyoneCutOff,
    /// Nobody hears the leader, which hears all.
    LeaderUnheard,
    /// The leader hears nobody, while all hear it.
    LeaderDeaf,
    /// The leader and another node do not hear each other; the third hears both, and both hear it.
    TwoApart,
    /// Each node in turn is cut off, as soon as the one before is back.
    Moving,
    /// The leader stands still for longer than an election takes; reads wait for it when it goes on.
    LeaderPaused,
    /// The same with any node.
    AnyonePaused,
    /// The leader's clock jumps ahead, and back again.
    LeaderAhead,
    /// It jumps back, and ahead again: for so long, the leader's time stands still.
    LeaderBehind,
    /// Every clock jumps, each to a time of its own.
    AllClocks,
}

impl Campaign<'_> {
    /// Has it happen, and end.
    pub(super) fn befall(&mut self, fault: Fault, leader: usize, running: &Running) -> String {
        let victim = match fault {
            Fault::AnyoneCutOff | Fault::AnyonePaused => self.random.usize(0..3),
            Fault::TwoApart => (leader + self.random.usize(1..3)) % 3,
            _ => leader,
        };
        let farthest = self.random.i64(2..=FARTHEST);
        let (one, other) = ((victim + 1) % 3, (victim + 2) % 3);
        let (from, to) = ([(victim, one), (victim, other)], [(one, victim), (other, victim)]);
        match fault {
            Fault::LeaderCutOff | Fault::AnyoneCutOff => self.cut(&[from, to].concat(), running),
            Fault::LeaderUnheard => self.cut(&from, running),
            Fault::LeaderDeaf => self.cut(&to, running),
            Fault::TwoApart => self.cut(&[(one, other), (other, one)], running),
            Fault::Moving => self.cut_each(),
            Fault::LeaderPaused | Fault::AnyonePaused => self.pause(victim),
            Fault::LeaderAhead => self.jump(&[(leader, farthest)], running),
            Fault::LeaderBehind => self.jump(&[(leader, -farthest)], running),
            Fault::AllClocks => {
                let jumps = [0, 1, 2].map(|place| (place, self.random.i64(-FARTHEST..=FARTHEST)));
                self.jump(&jumps, running);
            }
        }
        format!("{fault:?} (node {}; node {} led)", victim + 1, leader + 1)
    }

    fn cut(&mut self, cuts: &[(usize, usize)], running: &Running) {
        let hosts = self.world.hosts.expect("partitions take hosts");
        hosts.cut(cuts);
        self.others_go_on(running);
        self.healed(hosts.heal());
    }

    fn cut_each(&mut self) {
        let hosts = self.world.hosts.expect("partitions take hosts");
        let mut order = [0, 1, 2];
        self.random.shuffle(&mut order);
        for alone in order {
            let others = [(alone + 1) % 3, (alone + 2) % 3];
            hosts.cut(&others.map(|other| [(alone, other), (other, alone)]).concat());
            thread::sleep(MOVE);
            self.healed(hosts.heal());
        }
    }

    fn healed(&mut self, packets_lost: u64) {
        assert!(packets_lost > 0, "the partition cut nothing off");
        self.figures.partitions += 1;
        self.figures.packets_lost += packets_lost;
    }

    /// A write before the pause, another during it, and at its end reads that have waited for the paused node.
    fn pause(&mut self, victim: usize) {
        let mut hand = Hand::new(&mut self.load, "by-hand");
        hand.write();
        self.trio.nodes[victim].pause();
        thread::sleep(PAUSE);
        hand.write();
        let asked: Vec<_> = (0..READS_WAITING).filter_map(|_| hand.ask_at(victim)).collect();
        assert_eq!(asked.len(), READS_WAITING, "a paused node's system takes connections");
        self.trio.nodes[victim].resume();
        let replies: Vec<_> = asked.into_iter().filter_map(|one| hand.told(one)).collect();
        // One that leads no longer may refuse them all.
        assert!(!replies.is_empty(), "no read that waited for the paused node was ever replied to: nothing was tested");
        let told = replies.iter().flatten().count() as u64;
        self.figures.waiting_reads_told += told;
        self.figures.waiting_reads_refused += replies.len() as u64 - told;
        self.figures.pauses += 1;
    }

    fn jump(&mut self, jumps: &[(usize, i64)], running: &Running) {
        let clocks = self.world.clocks.expect("jumps take clocks");
        jumps.iter().for_each(|(place, ahead)| clocks[*place].jump_to(*ahead));
        running.wait_for_writes("clients are served after the jump", super::WRITES);
        jumps.iter().for_each(|(place, _)| clocks[*place].jump_to(0));
        self.figures.jumps += 2 * jumps.len() as u64;
        wait_until("every node tells of itself", || {
            self.trio.nodes.iter().all(|node| node.info("role").is_some()).then_some(())
        });
    }
}
