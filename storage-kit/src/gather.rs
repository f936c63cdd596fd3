//! How long a batch waits for more: those whom the last batch answered are often about to save again, one after the other.
//! The first of them alone would cost a sync of its own, and two halves that take turns would cost two for one.
//!
//! It may only ever wait for what keeps coming: saves that come alone, one after the other, are not held back. It must not sleep, since a
//! sleep is longer than what it waits for, and it knows no clock: it looks, a bounded number of times.

/// Looks in a row that found nothing new, after which nothing more is waited for.
const MAX_FRUITLESS_LOOKS: u32 = 8;
/// Hints to the processor between two looks: about what a caller needs from one save to the next.
const HINTS_PER_LOOK: u32 = 64;

/// One wait, from the first save of a batch on.
#[derive(Debug)]
pub(crate) struct Gather {
    /// So many are about: those whom the last batch answered, and those who waited meanwhile.
    about: usize,
    /// How many waited at the last look.
    waiting: usize,
    fruitless: u32,
}

impl Gather {
    /// A wait for as many as are about.
    pub(crate) fn of(about: usize) -> Gather {
        Gather { about, waiting: 0, fruitless: 0 }
    }

    /// Whether to look once more, now that so many are `waiting`.
    pub(crate) fn goes_on(&mut self, waiting: usize) -> bool {
        self.fruitless = if waiting > self.waiting { 0 } else { self.fruitless + 1 };
        self.waiting = waiting;
        waiting < self.about && self.fruitless < MAX_FRUITLESS_LOOKS
    }

    /// Lets the callers go on for a moment.
    pub(crate) fn pause() {
        for _ in 0..HINTS_PER_LOOK {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many looks a wait takes that finds so many waiting, the last number from then on.
    fn looks(about: usize, found: &[usize]) -> usize {
        let mut gather = Gather::of(about);
        let found = found.iter().chain(std::iter::repeat(found.last().unwrap()));
        found.take_while(|waiting| gather.goes_on(**waiting)).count()
    }

    #[test]
    fn a_save_that_comes_alone_again_and_again_is_never_held_back() {
        assert_eq!(looks(0, &[1]), 0);
        assert_eq!(looks(1, &[1]), 0);
    }

    #[test]
    fn as_many_as_are_about_are_waited_for_while_they_keep_coming() {
        let coming: Vec<usize> = (1..=64).collect();
        assert_eq!(looks(64, &coming), 63);
        let slowly: Vec<usize> = (1..=64).flat_map(|waiting| [waiting; 8]).collect();
        assert_eq!(looks(64, &slowly), 63 * 8);
    }

    #[test]
    fn who_does_not_come_again_is_soon_not_waited_for() {
        assert_eq!(looks(64, &[1]), 8);
        assert_eq!(looks(64, &[1, 2, 3, 3]), 10);
    }
}
