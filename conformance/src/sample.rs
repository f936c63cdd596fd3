//! Which of many places a short run tries: a part that the seed chooses, spread over all of them.
//!
//! The same seed chooses the same places on any machine, and other seeds choose others, so that many short runs see it all.

/// What the environment asks for: the seed, and of how many places one is tried. `ERAFT_LONG=1` tries all.
pub(crate) fn from_env(one_of: u64) -> (u64, u64) {
    let long = std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1");
    let seed = std::env::var("ERAFT_SEED").ok().and_then(|text| text.parse().ok());
    (seed.unwrap_or(1), if long { 1 } else { one_of })
}

/// Whether place `number` is tried, where one of `one_of` is.
pub(crate) fn takes(seed: u64, number: u64, one_of: u64) -> bool {
    let mixed = seed.wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32).is_multiple_of(one_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_chosen_by_the_seed_and_one_of_one_is_all() {
        let chosen = |seed, one_of| (0..16_000).filter(|number| takes(seed, *number, one_of)).count();
        assert_eq!(chosen(1, 1), 16_000);
        assert!((700..1300).contains(&chosen(1, 16)), "{}", chosen(1, 16));
        assert!((0..16_000).any(|number| takes(1, number, 16) != takes(2, number, 16)));
    }
}
