//! The judge: knows what was handed in and what was acknowledged, and holds what is found against it.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use super::{
    Report, Subject,
    driver::{Driver, Said},
    lines::Step,
    script::{Model, Script},
};

/// Saves that a store must take, and keep, after whatever befell it.
const MORE: u64 = 3;

/// One store, and all that is known of it.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) store: PathBuf,
    subject: Subject,
    script: Script,
    /// Whether anyone was told that it exists.
    created: bool,
    /// The last state that was found, and agreed with what had been handed in.
    found: Model,
    /// What it will be when all that was handed in has been done.
    handed: Model,
    /// The last save that was acknowledged.
    acknowledged: u64,
    /// Saves that were handed in and not yet answered.
    waiting: VecDeque<u64>,
    pub(super) report: Report,
}

/// How a row of saves ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All were acknowledged.
    Done,
    /// One failed.
    Failed(String),
    /// The snapshot of one could not be staged, so it was not submitted.
    Unstaged(String),
    /// The driver is gone.
    Gone,
}

impl Judge {
    /// Of a store that is to be at `store`; what is saved depends on `seed`.
    pub(super) fn new(subject: &Subject, store: PathBuf, seed: u64, fills: bool) -> Judge {
        let script = Script { seed, run: 0, fills };
        let (found, handed) = (Model::blank(), Model::blank());
        let (subject, report) = (subject.clone(), Report::default());
        Judge {
            store,
            subject,
            script,
            created: false,
            found,
            handed,
            acknowledged: 0,
            waiting: VecDeque::new(),
            report,
        }
    }

    /// A driver that has been given no order.
    pub(super) fn driver(&self) -> Driver {
        Driver::start(&self.subject)
    }

    /// Has the store made.
    pub(super) fn create(&mut self, driver: &mut Driver) -> Said {
        let said = driver.at("create", &self.store);
        self.created |= said == Said::Done;
        said
    }

    /// Has the store opened, and nothing looked at.
    pub(super) fn open(&mut self, driver: &mut Driver) -> Said {
        let said = driver.at("open", &self.store);
        self.created |= said == Said::Done;
        said
    }

    /// Has the store opened and read, and judges what is found. A store of which nobody was told may have to be made.
    ///
    /// # Errors
    /// What the driver said instead.
    pub(super) fn look(&mut self, driver: &mut Driver) -> Result<(), Said> {
        let mut said = self.open(driver);
        if let Said::Failed(_, text) = &said
            && !self.created
            && text.starts_with("NotInitialised")
        {
            assert_eq!(self.create(driver), Said::Done, "a creation that was cut short is in the way of another");
            said = self.open(driver);
        }
        if said != Said::Done {
            return Err(said);
        }
        let found = driver.read()?;
        self.judge(found);
        Ok(())
    }

    /// What was found must be what the saves so far, and no others, had made, up to one that is not before the last
    /// acknowledged.
    fn judge(&mut self, found: Model) {
        let (number, handed) = (found.number(), self.handed.number());
        assert!(
            number >= self.acknowledged,
            "save {} was acknowledged, and {number} is the last there",
            self.acknowledged
        );
        assert!(number <= handed, "save {number} was found, and {handed} is the last that was handed in");
        let mut expected = self.found.clone();
        while expected.number() < number {
            expected.advance(self.script);
        }
        expected.assert_is(&found);
        self.report.untold += number - self.acknowledged;
        self.acknowledged = number;
        self.handed = expected.clone();
        self.waiting.clear();
        self.found = expected;
        // What nobody was told of and nobody found is never handed in again.
        self.script.run += 1;
    }

    /// Hands in saves until so many were acknowledged, `window` at a time; all but one of them may be under way then.
    pub(super) fn save(&mut self, driver: &mut Driver, saves: u64, window: usize) -> Ended {
        let upto = self.acknowledged + saves;
        while self.acknowledged < upto {
            while self.waiting.len() < window && !self.is_to_fall_silent() {
                self.hand_in(driver);
            }
            match driver.hear() {
                Said::Saved(number) => self.hear(number),
                Said::Unstaged(number, text) => {
                    self.take_back(number);
                    return Ended::Unstaged(text);
                }
                Said::Failed(_, text) => return Ended::Failed(text),
                Said::Gone => return Ended::Gone,
                other => panic!("{other:?} is no answer to a save"),
            }
            if self.waiting.is_empty() && self.is_at_rest() {
                std::thread::sleep(Duration::from_millis(self.acknowledged % 7));
            }
        }
        Ended::Done
    }

    /// Takes in what a driver that is gone had still said.
    pub(super) fn hear_the_last(&mut self, driver: &mut Driver) {
        loop {
            match driver.hear() {
                Said::Saved(number) => self.hear(number),
                Said::Gone => break,
                _ => {}
            }
        }
        self.waiting.clear();
    }

    /// Lets what a driver has said since its power began to be cut count for nothing.
    ///
    /// Without power no process says anything; this one lives on, on a file system that is being shut down, and a sync that is
    /// caught in that may return success: ext4 does not tell of a block that it could not turn from allocated to written.
    pub(super) fn forget_the_last(&mut self, driver: &mut Driver) {
        while driver.hear() != Said::Gone {}
        self.waiting.clear();
    }

    /// Now and then the disk falls silent, and what the store does after an idle moment has its time.
    fn is_at_rest(&self) -> bool {
        self.handed.number().is_multiple_of(50)
    }

    fn is_to_fall_silent(&self) -> bool {
        self.is_at_rest() && !self.waiting.is_empty()
    }

    fn hand_in(&mut self, driver: &mut Driver) {
        let number = self.handed.number() + 1;
        let step: Step = self.script.step(number, &self.handed.state);
        driver.order(&format!("save {number} {}", step.print()));
        self.handed.advance(self.script);
        self.waiting.push_back(number);
    }

    fn hear(&mut self, number: u64) {
        assert_eq!(Some(number), self.waiting.pop_front(), "a receipt out of order");
        assert_eq!(number, self.acknowledged + 1, "a receipt for a save that nobody waits for");
        self.acknowledged = number;
        self.report.acknowledged += 1;
    }

    /// The save `number` was not submitted, nor was any after it.
    fn take_back(&mut self, number: u64) {
        self.handed = self.found.clone();
        while self.handed.number() < number - 1 {
            self.handed.advance(self.script);
        }
        self.waiting.retain(|waiting| *waiting < number);
    }

    /// Whatever it is asked, a store that a save has failed acknowledges nothing more.
    pub(super) fn see_that_it_is_poisoned(&mut self, driver: &mut Driver) {
        for _ in 0..MORE {
            self.hand_in(driver);
            match driver.hear() {
                Said::Saved(number) => panic!("save {number} was acknowledged after one had failed"),
                Said::Unstaged(number, _) => self.take_back(number),
                Said::Failed(..) => {}
                other => panic!("{other:?} is no answer to a save"),
            }
        }
    }

    /// After whatever befell it: it opens, holds what it must, takes more, and holds that, too, for the next process.
    pub(super) fn see_that_it_lives(&mut self) {
        for _ in 0..2 {
            let mut driver = self.driver();
            assert_eq!(self.look(&mut driver), Ok(()), "on a healthy machine");
            assert_eq!(self.save(&mut driver, MORE, 1), Ended::Done, "on a healthy machine");
            assert_eq!(driver.close(), Said::Done, "on a healthy machine");
        }
    }
}
